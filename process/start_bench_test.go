//go:build unix

package process_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/process"
)

// BenchmarkStart compares a tree with exec.Cmd, from Start to the end of Wait, for a
// program that does nothing.
func BenchmarkStart(b *testing.B) {
	b.Run("exec", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, exec.Command("true").Run())
		}
	})
	b.Run("process", func(b *testing.B) {
		for b.Loop() {
			tree, err := process.Start(exec.Command("true"), process.Options{Logger: quiet})
			require.NoError(b, err)
			require.NoError(b, tree.Wait())
		}
	})
}

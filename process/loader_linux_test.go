//go:build !processgroup

package process_test

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/process"
)

func init() {
	childScenarios["started by ld.so"] = func() {
		cmd := exec.Command("env") // shows its environment, which would be the reaper's
		cmd.Stdout = os.Stdout
		_, err := process.Start(cmd, process.Options{Logger: quiet})
		fmt.Println(err)
	}
}

// In "ld.so program" the kernel starts the dynamic linker: /proc/self/exe is that,
// and started again it would run the child's program in place of the reaper.
func TestStartFailsInAProgramStartedByTheDynamicLinker(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	linker := interpreter(t, exe)
	if linker == "" {
		t.Skip("the test binary is static: it was built without cgo")
	}
	cmd := exec.Command(linker, exe)
	cmd.Env = append(os.Environ(), childEnv+"=started by ld.so")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	command, err := exec.LookPath("env")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(out), "process: start "+command+": the reaper is this program, started again from /proc/self/exe, but that is "), "%s", out)
	require.Contains(t, string(out), "and not "+exe+": run the program itself, not through ld.so")
	require.Equal(t, 1, strings.Count(string(out), "\n"), "the child's program was run: %s", out)
}

// interpreter returns the dynamic linker that the program asks for, if any.
func interpreter(t *testing.T, program string) string {
	t.Helper()
	f, err := elf.Open(program)
	require.NoError(t, err)
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			path, err := io.ReadAll(p.Open())
			require.NoError(t, err)
			return strings.TrimRight(string(path), "\x00")
		}
	}
	return ""
}

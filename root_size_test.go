package shutdown_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The files of the root and how long they may be: one Manager, and a file for each of
// its nouns.
func TestTheRootPackageStaysSmall(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	names := []string{"shutdown.go", "hooks.go", "tracker.go", "workers.go", "signals.go", "report.go", "report_text.go", "report_log.go", "report_record.go", "default.go", "doc.go"}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		require.LessOrEqual(t, strings.Count(string(text), "\n"), 300, "%s: lines", f)
		if f != "signals_unix.go" && f != "signals_other.go" {
			require.Contains(t, names, f)
		}
	}
}

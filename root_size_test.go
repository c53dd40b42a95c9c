package shutdown_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each file of the root has one noun and at most 300 lines.
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

package shutdown_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the root module makes its users require: all else that is heavier has a
// module of its own.
func TestTheRootModuleRequiresOnlyAllowedModules(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./...").CombinedOutput()
	require.NoError(t, err, "%s", out)
	may := map[string]bool{"github.com/gracefulgo/shutdown": true, "golang.org/x/sync": true, "golang.org/x/sys": true}
	for module := range strings.FieldsSeq(string(out)) {
		require.True(t, may[module], "%s is not to be required by the root module", module)
	}
}

// A room imports only rooms below it. The public packages know the root, and of each
// other only the servers know the listener; the root knows none of them.
func TestEachPackageImportsOnlyWhatIsBelowIt(t *testing.T) {
	const root = "github.com/gracefulgo/shutdown"
	for pkg, may := range map[string][]string{
		"":                      {"asynclog", "clip", "diagnose", "grace", "inflight", "postmortem", "prestop", "sequence", "signame", "stacks", "warning"},
		"/internal/sequence":    {"clip"},
		"/internal/postmortem":  {"clip", "wakeups"},
		"/internal/asynclog":    {"wakeups"},
		"/internal/diagnose":    {"clip", "signame"},
		"/internal/grace":       {"clip"},
		"/internal/clip":        nil,
		"/internal/inflight":    nil,
		"/internal/prestop":     nil,
		"/internal/reaper":      nil,
		"/internal/signame":     nil,
		"/internal/stacks":      nil,
		"/internal/wakeups":     nil,
		"/internal/warning":     nil,
		"/listener":             nil,
		"/httpserver":           {root, root + "/listener", "inflight", "warning"},
		"/admin":                {root, "clip", "prestop"},
		"/discovery":            {root, "clip"},
		"/process":              {"asynclog", "clip", "reaper", "signame"},
		"/shutdowntest":         {root},
		"/cmd/shutdown-init":    {"clip", "reaper", "signame"},
		"/cmd/shutdown-prestop": {"clip", "signame"},
	} {
		out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, root+pkg).CombinedOutput()
		require.NoError(t, err, "%s", out)
		for imported := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(imported, root) {
				require.Contains(t, may, strings.TrimPrefix(imported, root+"/internal/"), "imported by %s", root+pkg)
			}
		}
	}
}

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

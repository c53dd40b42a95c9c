package shutdown_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the root module makes its users require: all else that is heavier has a
// module of its own.
func TestThePackagesNeedOnlyWhatTheyMay(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./...").CombinedOutput()
	require.NoError(t, err, "%s", out)
	may := map[string]bool{"github.com/gracefulgo/shutdown": true, "golang.org/x/sync": true, "golang.org/x/sys": true}
	for module := range strings.FieldsSeq(string(out)) {
		require.True(t, may[module], "%s is not to be required by the root module", module)
	}
}

// The root package knows none of the packages around it, and none of those but
// the servers knows another.
func TestEachPackageKnowsOnlyWhatItMay(t *testing.T) {
	const root = "github.com/gracefulgo/shutdown"
	for pkg, may := range map[string][]string{
		root:                           {root + "/internal/inflight", root + "/internal/probe", root + "/internal/share", root + "/internal/stacks", root + "/internal/clip", root + "/internal/signame", root + "/internal/warning"},
		root + "/internal/warning":     nil,
		root + "/internal/stacks":      nil,
		root + "/internal/clip":        nil,
		root + "/internal/signame":     nil,
		root + "/shutdowntest":         {root, root + "/internal/probe"},
		root + "/listener":             nil,
		root + "/httpserver":           {root, root + "/listener", root + "/internal/inflight", root + "/internal/warning"},
		root + "/cmd/shutdown-prestop": {root + "/internal/clip", root + "/internal/signame"},
		root + "/admin":                {root, root + "/internal/probe", root + "/internal/share", root + "/internal/clip"},
		root + "/discovery":            {root, root + "/internal/clip"},
		root + "/process":              {root + "/internal/reaper", root + "/internal/clip", root + "/internal/signame"},
		root + "/cmd/shutdown-init":    {root + "/internal/reaper", root + "/internal/clip", root + "/internal/signame"},
		root + "/internal/reaper":      nil,
	} {
		out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, pkg).CombinedOutput()
		require.NoError(t, err, "%s", out)
		for imported := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(imported, root) {
				require.Contains(t, may, imported, "imported by %s", pkg)
			}
		}
	}
}

package shutdown_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Packages with heavier dependencies are modules of their own, so that users of the root do
// not require them.
func TestTheRootModuleRequiresOnlyAllowedModules(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./...").CombinedOutput()
	require.NoError(t, err, "%s", out)
	may := map[string]bool{"github.com/gracefulgo/shutdown": true, "golang.org/x/sync": true, "golang.org/x/sys": true}
	for module := range strings.FieldsSeq(string(out)) {
		require.True(t, may[module], "%s is not to be required by the root module", module)
	}
}

// A package imports only packages below it. The root imports no public package. Of the public
// packages, only the servers import another one, the listener.
func TestEachPackageImportsOnlyWhatIsBelowIt(t *testing.T) {
	const root = "github.com/gracefulgo/shutdown"
	for pkg, may := range map[string][]string{
		"":                      {"asynclog", "bridge", "clip", "diagnose", "grace", "inflight", "postmortem", "prestop", "sequence", "signame", "stacks"},
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
		"/internal/load":        nil,
		"/internal/drill":       {"clip", "load", "progress", "reaper", "signame"},
		"/internal/progress":    nil,
		"/internal/bridge":      {"inflight"},
		"/listener":             nil,
		"/httpserver":           {root, root + "/listener", "bridge", "inflight"},
		"/admin":                {root, "clip", "prestop"},
		"/discovery":            {root, "clip"},
		"/process":              {"asynclog", "bridge", "clip", "reaper", "signame"},
		"/shutdowntest":         {root},
		"/cmd/shutdown-init":    {"clip", "reaper", "signame"},
		"/cmd/shutdown-prestop": {"clip", "signame"},
		"/cmd/shutdown-drill":   {"clip", "drill", "load", "signame"},
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

// The program is built outside of the workspace and requires only the root module.
func TestAProgramThatImportsTheRootRequiresFewModules(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("go.mod", "module example.com/consumer\n\ngo 1.25.0\n\nrequire github.com/gracefulgo/shutdown v0.0.0\n\nreplace github.com/gracefulgo/shutdown => "+here+"\n")
	sums, err := os.ReadFile("go.sum") // so that modules in the module cache need no network
	require.NoError(t, err)
	write("go.sum", string(sums))
	write("main.go", `package main

import (
	"log"
	"net/http"
	"os"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

func main() {
	if _, err := httpserver.Start(shutdown.Default(), &http.Server{Addr: "127.0.0.1:0"}); err != nil {
		log.Fatal(err)
	}
	os.Exit(shutdown.ExitCode(shutdown.Wait()))
}
`)
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	run("build", "-o", filepath.Join(dir, "consumer"), ".")
	modules := run("list", "-m", "all")
	require.Contains(t, modules, "github.com/gracefulgo/shutdown")
	for _, heavy := range []string{"google.golang.org/", "grpc", "etcd", "consul", "kratos", "prometheus"} {
		require.NotContains(t, modules, heavy)
	}
	require.LessOrEqual(t, len(strings.Split(strings.TrimSpace(modules), "\n")), 15, "%s", modules)
}

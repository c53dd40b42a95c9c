package shutdown_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a program gets that requires the root module and nothing else, outside of
// our workspace.
func TestAProgramThatImportsTheRootRequiresFewModules(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("go.mod", "module example.com/consumer\n\ngo 1.25.0\n\nrequire github.com/gracefulgo/shutdown v0.0.0\n\nreplace github.com/gracefulgo/shutdown => "+here+"\n")
	sums, err := os.ReadFile("go.sum") // what is in the cache of modules needs no network then
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

//go:build unix

package main

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
)

// soon is the time limit of what should happen at once. No test waits for it to
// pass.
const soon = 50 * time.Second

var command string // the built one

func TestMain(m *testing.M) {
	if table := os.Getenv(childEnv); table != "" {
		time.AfterFunc(3*time.Minute, func() { os.Exit(99) }) // in case the test is killed
		service(table)
	}
	for _, sig := range []os.Signal{syscall.SIGHUP, os.Interrupt} { // under nohup the children would inherit that
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	dir, err := os.MkdirTemp("", "prestop")
	if err != nil {
		panic(err)
	}
	command = filepath.Join(dir, "shutdown-prestop")
	build := exec.Command("go", "build", "-o", command, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v: %s", err, out))
	}
	goleak.VerifyTestMain(leaks.Patient(m, goleak.Find), goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// prestop runs the command and returns its exit status and its output.
func prestop(t *testing.T, args ...string) (status int, said string, took time.Duration) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command, args...)
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode(), strings.TrimSpace(string(out)), time.Since(begun)
}

func TestTheCommandIsStatic(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("programs are static on Linux only")
	}
	f, err := elf.Open(command)
	require.NoError(t, err)
	defer f.Close()
	for _, p := range f.Progs {
		require.NotEqual(t, elf.PT_INTERP, p.Type, "it needs a dynamic linker")
	}
	libraries, err := f.ImportedLibraries()
	require.NoError(t, err)
	require.Empty(t, libraries)
}

// preStop: SIGHUP, and a wait that ends before the service does; then the
// kubelet's SIGTERM, which would end it at once.
func TestSIGTERMAfterTheHooksSIGHUPChangesNothing(t *testing.T) {
	c := startService(t, "hup is graceful, term is immediate")
	status, said, took := prestop(t, "--pid", c.pid, "--wait", "400ms")
	require.Zero(t, status, said)
	require.Empty(t, said)
	require.GreaterOrEqual(t, took, 400*time.Millisecond, "the service is still running")
	c.out.await(t, "got hangup") // two pending signals may be delivered in either order
	c.term(t)
	require.Equal(t, []string{"ready", "leave", "drain", "task", "close", "signal SIGHUP"}, c.end(t))
}

func TestSIGTERMAfterTheHooksSIGTERMChangesNothingWithTheDefaultTable(t *testing.T) {
	c := startService(t, "default")
	status, said, _ := prestop(t, "--pid", c.pid, "--signal", "sigterm", "--wait", "350ms")
	require.Zero(t, status, said)
	c.out.await(t, "got terminated")
	require.Equal(t, 1, strings.Count(c.out.String(), "got terminated"))
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return strings.Count(c.out.String(), "got terminated") == 2 }, soon, 5*time.Millisecond)
	require.Equal(t, []string{"ready", "leave", "drain", "task", "close", "signal SIGTERM"}, c.end(t))
}

// The control for both, and what the documentation warns about.
func TestSIGHUPThatIsNotInTheTableKills(t *testing.T) {
	c := startService(t, "default")
	status, said, took := prestop(t, "--pid", c.pid, "--wait", soon.String())
	require.Zero(t, status, said)
	require.Less(t, took, soon, "it notices the end of a process that has not been reaped")
	require.Error(t, c.cmd.Wait())
	require.Equal(t, syscall.SIGHUP, c.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal())
	require.Equal(t, "ready\n", c.out.String())
}

func TestItReturnsWhenTheProcessHasExited(t *testing.T) {
	c := startService(t, "default")
	_ = c.stdin.Close()
	status, said, took := prestop(t, "--pid", c.pid, "--signal", "15", "--wait", soon.String())
	require.Zero(t, status, said)
	require.GreaterOrEqual(t, took, 250*time.Millisecond, "the lame duck")
	require.Less(t, took, soon)
	c.end(t)
}

func TestWithoutAPidfdItReturnsWhenTheTimeIsUpOrTheProcessHasExited(t *testing.T) {
	c := startService(t, "ignores")
	pid, err := strconv.Atoi(c.pid)
	require.NoError(t, err)
	begun := time.Now()
	poll(pid, 100*time.Millisecond)
	require.GreaterOrEqual(t, time.Since(begun), 100*time.Millisecond)
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	begun = time.Now()
	poll(pid, soon)
	require.Less(t, time.Since(begun), soon)
}

// The default, in a PID namespace as in a pod.
func TestItSignalsPidOne(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("a PID namespace needs root on Linux")
	}
	c := startService(t, "hup is graceful, term is immediate", newPidNamespace)
	_ = c.stdin.Close()
	require.NoError(t, c.cmd.Wait(), c.out.String())
	did := c.did()
	require.Contains(t, did, "prestop  <nil>")
	require.Equal(t, []string{"close", "signal SIGHUP"}, did[len(did)-2:])
}

func TestMistakesAreNamed(t *testing.T) {
	const nobody = "1073741824" // no system has so high a PID
	for _, test := range []struct {
		status int
		want   string
		args   []string
	}{
		{2, `unexpected argument "7"`, []string{"7"}},
		{2, "flag provided but not defined: -x", []string{"-x"}},
		{2, `--signal "HUPP": no such signal`, []string{"--signal", "HUPP"}},
		{2, `--signal "0": no such signal`, []string{"--signal", "0"}},
		{2, "--signal SIGKILL: no program can catch it", []string{"--signal", "9"}},
		{2, "--signal SIGSTOP: no program can catch it", []string{"--signal", "stop"}},
		{2, "--pid 0: not the ID of a process", []string{"--pid", "0"}},
		{2, "--pid -1: not the ID of a process", []string{"--pid", "-1"}},
		{2, "--wait -1s is negative", []string{"--wait", "-1s"}},
		{2, "--url cannot be combined with --signal or --pid", []string{"--url", "http://localhost/", "--pid", "7"}},
		{2, "--token-file needs --url", []string{"--token-file", "x"}},
		{2, `--url "localhost:9090"`, []string{"--url", "localhost:9090"}},
		{2, `--url ""`, []string{"--url", ""}},
		{1, "send SIGHUP to pid " + nobody + ": no such process", []string{"--pid", nobody}},
		{1, "--token-file: open /nonexistent: no such file", []string{"--url", "http://127.0.0.1:1/", "--token-file", "/nonexistent"}},
		{1, "connection refused", []string{"--url", "http://127.0.0.1:1/prestop"}},
	} {
		status, said, _ := prestop(t, test.args...)
		require.Equal(t, test.status, status, said)
		require.Contains(t, said, test.want)
	}
	status, said, _ := prestop(t, "--help")
	require.Zero(t, status)
	require.Contains(t, said, "-token-file")
}

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
	"slices"
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

// The rows of the table in the package documentation. The service is PID 1 of a PID
// namespace, the hook runs inside of it, and the stop signal comes from outside.
func TestWhichPreStopAndStopSignalEndAProgramWithoutAHook(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("a PID namespace needs root on Linux")
	}
	const (
		none            = "none"
		defaultTable    = "default"
		hup             = "hup is graceful"
		hupAndImmediate = "hup is graceful, term is immediate"
	)
	all := []string{"leave", "drain", "close"}
	for _, c := range []struct {
		hook   string // arguments of the command
		stop   syscall.Signal
		table  string
		during string // a line of the service after which the stop signal comes
		want   []string
		code   int
	}{
		{none, syscall.SIGTERM, defaultTable, "ready", all, 0},
		{none, syscall.SIGINT, defaultTable, "ready", all, 0},
		{none, syscall.SIGQUIT, defaultTable, "ready", nil, 2},
		{"", syscall.SIGTERM, defaultTable, "drain", all, 0},
		{"", 0, hupAndImmediate, "", all, 143},
		{"", 0, hup, "", nil, 2},
		{"--signal HUP", 0, defaultTable, "", nil, 2},
		{"--signal HUP", syscall.SIGTERM, hupAndImmediate, "drain", all, 0},
		{"--signal HUP", syscall.SIGTERM, hup, "drain", []string{"leave", "drain"}, 2},
	} {
		t.Run(fmt.Sprintf("preStop %q, stop signal %v, table %s", c.hook, c.stop, c.table), func(t *testing.T) {
			t.Parallel()
			s := startService(t, c.table, newPidNamespace, func(cmd *exec.Cmd) {
				if c.hook != none {
					cmd.Env = append(cmd.Env, hookEnv+"=--wait 200ms "+c.hook)
				}
			})
			if c.stop != 0 {
				s.out.await(t, c.during)
				require.NoError(t, s.cmd.Process.Signal(c.stop))
			}
			if c.code == 0 {
				_ = s.stdin.Close()
			}
			_ = s.cmd.Wait() // its status is checked
			require.Equal(t, c.code, s.cmd.ProcessState.ExitCode(), s.out.String())
			var hooks []string
			for _, line := range s.did() {
				if slices.Contains(all, line) {
					hooks = append(hooks, line)
				}
			}
			require.Equal(t, c.want, hooks, s.out.String())
		})
	}
}

// preStop: SIGHUP, and a wait that ends before the service does; then the
// kubelet's SIGTERM, which would end it at once.
func TestSIGTERMAfterTheHooksSIGHUPChangesNothing(t *testing.T) {
	c := startService(t, "hup is graceful, term is immediate")
	status, said, took := prestop(t, "--pid", c.pid, "--signal", "sighup", "--wait", "400ms")
	require.Zero(t, status, said)
	require.Empty(t, said)
	require.GreaterOrEqual(t, took, 400*time.Millisecond, "the service is still running")
	c.out.await(t, "got hangup") // two pending signals may be delivered in either order
	c.term(t)
	require.Equal(t, []string{"ready", "leave", "drain", "task", "close", "signal SIGHUP"}, c.end(t))
}

func TestSIGTERMAfterTheHooksSIGTERMChangesNothingWithTheDefaultTable(t *testing.T) {
	c := startService(t, "default")
	status, said, _ := prestop(t, "--pid", c.pid, "--wait", "350ms")
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
	status, said, took := prestop(t, "--pid", c.pid, "--signal", "HUP", "--wait", soon.String())
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
		{1, "send SIGTERM to pid " + nobody + ": no such process", []string{"--pid", nobody}},
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

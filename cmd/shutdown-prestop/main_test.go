//go:build unix

package main

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/leaks"
)

// childEnv makes the re-executed test binary the service that is shut down.
const childEnv = "PRESTOP_TEST_CHILD"

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

// service is a program with hooks and a lame duck of 300 ms. It writes each step to
// stdout.
func service(table string) {
	cfg := shutdown.Config{GracePeriod: 30 * time.Second, LameDuck: 300 * time.Millisecond, Signals: shutdown.DefaultSignals()}
	switch table {
	case "hup is graceful, term is immediate":
		cfg.Signals = map[os.Signal]shutdown.Action{syscall.SIGHUP: shutdown.Graceful, syscall.SIGTERM: shutdown.Immediate}
	case "ignores":
		signal.Ignore(syscall.SIGHUP)
	}
	for sig, action := range cfg.Signals {
		cfg.Signals[sig] = func(m *shutdown.Manager, sig os.Signal) {
			action(m, sig)
			fmt.Println("got", sig)
		}
	}
	m, err := shutdown.New(cfg)
	if err != nil {
		panic(err)
	}
	for _, p := range []shutdown.Phase{shutdown.Leave, shutdown.Drain, shutdown.Close} {
		m.On(p, "hook", func(context.Context) error { fmt.Println(p); return nil })
	}
	m.Go("task", func(context.Context) error { // ends when the test closes stdin
		_, _ = io.Copy(io.Discard, os.Stdin)
		fmt.Println("task")
		return nil
	})
	if os.Getpid() == 1 { // run the command as in a pod: in the PID namespace of PID 1
		done, _ := m.Track("the command") // or it would be killed with the namespace when PID 1 exits
		go func() {
			defer done()
			out, err := exec.Command(os.Args[1], "--wait", "200ms").CombinedOutput()
			fmt.Println("prestop", string(out), err)
		}()
	}
	fmt.Println("ready")
	code := shutdown.ExitCode(m.Wait())
	fmt.Println(m.Report().Cause)
	os.Exit(code)
}

type child struct {
	cmd   *exec.Cmd
	out   *output
	stdin io.WriteCloser
	pid   string
}

func startService(t *testing.T, table string, change ...func(*exec.Cmd)) *child {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	c := &child{cmd: exec.Command(exe, command), out: &output{}}
	c.cmd.Env = []string{childEnv + "=" + table, "GORACE=atexit_sleep_ms=0"}
	c.stdin, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	c.cmd.Stdout = c.out
	for _, f := range change {
		f(c.cmd)
	}
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() {
		if c.cmd.ProcessState == nil {
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
		}
	})
	c.out.await(t, "ready")
	c.pid = strconv.Itoa(c.cmd.Process.Pid)
	return c
}

// An output is what a service has written so far.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) await(t *testing.T, line string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(o.String(), line+"\n") }, soon, 5*time.Millisecond, line)
}

// term sends the kubelet's signal and returns when it has had its effect.
func (c *child) term(t *testing.T) {
	t.Helper()
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	c.out.await(t, "got terminated")
}

// end lets the service finish its task in Drain, and returns its steps.
func (c *child) end(t *testing.T) []string {
	t.Helper()
	c.out.await(t, "drain")
	_ = c.stdin.Close()
	require.NoError(t, c.cmd.Wait(), c.out.String())
	return c.did()
}

// did returns the steps of the service, without the signals that it got: it writes
// these at some time after they had their effect.
func (c *child) did() []string {
	lines := strings.Split(strings.TrimSpace(c.out.String()), "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "got ") })
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

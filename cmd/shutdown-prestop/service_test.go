//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

const (
	// childEnv makes the re-executed test binary the service that is shut down. It is the
	// service's signal table.
	childEnv = "PRESTOP_TEST_CHILD"
	// hookEnv makes the service run the command with these arguments, as the kubelet does,
	// in its PID namespace.
	hookEnv = "PRESTOP_TEST_HOOK"
)

// service is a program with hooks and a lame duck of 300 ms. It writes each step to
// stdout.
func service(table string) {
	cfg := shutdown.Config{GracePeriod: 30 * time.Second, LameDuck: 300 * time.Millisecond, Signals: shutdown.DefaultSignals()}
	switch table {
	case "hup is graceful, term is immediate":
		cfg.Signals = map[os.Signal]shutdown.Action{syscall.SIGHUP: shutdown.Graceful, syscall.SIGTERM: shutdown.Immediate}
	case "hup is graceful":
		cfg.Signals = map[os.Signal]shutdown.Action{syscall.SIGHUP: shutdown.Graceful}
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
	if args, ok := os.LookupEnv(hookEnv); ok {
		done, _ := m.Track("the command") // or it would be killed with the namespace when PID 1 exits
		go func() {
			defer done()
			out, err := exec.Command(os.Args[1], strings.Fields(args)...).CombinedOutput()
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
type output struct{ testlog.Buffer }

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

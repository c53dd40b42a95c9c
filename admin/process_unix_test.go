//go:build unix

package admin_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
)

const childLameDuck = 400 * time.Millisecond

func init() {
	service := func(term shutdown.Action) func() {
		return func() {
			m, err := shutdown.New(shutdown.Config{
				GracePeriod: 30 * time.Second,
				LameDuck:    childLameDuck,
				Logger:      slog.New(slog.NewTextHandler(os.Stderr, nil)),
				Signals: map[os.Signal]shutdown.Action{syscall.SIGTERM: func(m *shutdown.Manager, sig os.Signal) {
					term(m, sig)
					fmt.Println("got SIGTERM")
				}},
			})
			if err != nil {
				panic(err)
			}
			for _, name := range []string{"leave", "drain", "close 1", "close 2"} {
				p := map[string]shutdown.Phase{"leave": shutdown.Leave, "drain": shutdown.Drain}[name]
				if p == 0 {
					p = shutdown.Close
				}
				m.On(p, name, func(context.Context) error { fmt.Println("hook", name); return nil })
			}
			m.Go("task", func(context.Context) error { // ends when the parent closes stdin
				_, _ = io.Copy(io.Discard, os.Stdin)
				fmt.Println("hook task")
				return nil
			})
			s, err := admin.Start(m, "127.0.0.1:0", admin.Options{PreStop: true})
			if err != nil {
				panic(err)
			}
			fmt.Println("listens", s.Addr())
			code := shutdown.ExitCode(m.Wait())
			report, err := json.Marshal(m.Report())
			if err != nil {
				panic(err)
			}
			fmt.Println("report", string(report))
			os.Exit(code)
		}
	}
	childScenarios["term is graceful"] = service(shutdown.Graceful)
	childScenarios["term is immediate"] = service(shutdown.Immediate)
}

// A child is a service in a child process.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	lines chan string // of stdout
	log   bytes.Buffer
	url   string
	hooks []string // that have run, according to the lines read so far
}

func startChild(t *testing.T, scenario string) *child {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	c := &child{t: t, cmd: exec.Command(exe), lines: make(chan string, 100)}
	c.cmd.Env = []string{childEnv + "=" + scenario, "PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}
	c.cmd.Stderr = &c.log
	c.stdin, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	c.cmd.Stdout = w
	require.NoError(t, c.cmd.Start())
	require.NoError(t, w.Close())
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(c.lines)
		for in := bufio.NewScanner(r); in.Scan(); {
			c.lines <- in.Text()
		}
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // no effect if it has exited
		<-read
		r.Close()
		if c.cmd.ProcessState == nil {
			_ = c.cmd.Wait()
		}
		if t.Failed() {
			t.Log(c.log.String())
		}
	})
	c.url = "http://" + strings.TrimPrefix(c.await("listens "), "listens ")
	return c
}

// await reads the output of the child until a line starts with prefix.
func (c *child) await(prefix string) string {
	c.t.Helper()
	for {
		line := within(c.t, prefix, c.lines)
		if name, ok := strings.CutPrefix(line, "hook "); ok {
			c.hooks = append(c.hooks, name)
		}
		if strings.HasPrefix(line, prefix) {
			return line
		}
		if line == "" { // the channel is closed
			require.FailNow(c.t, "the child has exited", "waiting for %q", prefix)
		}
	}
}

func (c *child) term() {
	c.t.Helper()
	require.NoError(c.t, c.cmd.Process.Signal(syscall.SIGTERM))
	c.await("got SIGTERM")
}

func (c *child) finishTask() { _ = c.stdin.Close() } // may be closed already

// end lets the child finish its task and returns its Report.
func (c *child) end() (r shutdown.Report) {
	c.t.Helper()
	if !slices.Contains(c.hooks, "drain") {
		c.await("hook drain")
	}
	c.finishTask()
	text := strings.TrimPrefix(c.await("report "), "report ")
	require.NoError(c.t, json.Unmarshal([]byte(text), &r))
	require.NoError(c.t, c.cmd.Wait(), "the exit code is 0")
	require.Equal(c.t, 1, strings.Count(c.log.String(), "shutdown: started"), "one shutdown")
	return r
}

// Kubernetes sends SIGTERM when preStop has responded.
func TestPreStopAndThenSIGTERMIsOneShutdown(t *testing.T) {
	for _, scenario := range []string{"term is graceful", "term is immediate"} {
		c := startChild(t, scenario)
		called := time.Now()
		require.Equal(t, "200 the lame duck is over", get(t, c.url+"/prestop"))
		answered := time.Now()
		c.term()
		r := c.end()
		require.Equal(t, []string{"leave", "drain", "task", "close 2", "close 1"}, c.hooks)
		require.EqualError(t, r.Cause, "preStop from 127.0.0.1")
		require.Contains(t, c.log.String(), `cause="preStop from 127.0.0.1"`)
		// The wall clock and the clock of timers may differ by half a lame duck.
		require.WithinRange(t, r.Begun, called.Add(-childLameDuck/2), answered.Add(-childLameDuck/2), "the shutdown starts with preStop")
	}
}

func TestSIGTERMDuringPreStopHasNoEffect(t *testing.T) {
	for _, scenario := range []string{"term is graceful", "term is immediate"} {
		c := startChild(t, scenario)
		preStop := later(t, c.url+"/prestop")
		c.await("hook leave")
		c.term()
		require.Equal(t, "200 the lame duck is over", within(t, "the response", preStop).String())
		r := c.end()
		require.Equal(t, []string{"leave", "drain", "task", "close 2", "close 1"}, c.hooks)
		require.EqualError(t, r.Cause, "preStop from 127.0.0.1")
	}
}

func TestSIGTERMWithoutPreStopRunsTheSamePhases(t *testing.T) {
	c := startChild(t, "term is graceful")
	c.term()
	sent := time.Now()
	require.Equal(t, "200 the lame duck is over", get(t, c.url+"/prestop"), "it waits for a shutdown that has started")
	require.WithinRange(t, time.Now(), sent, sent.Add(soon))
	r := c.end()
	require.Equal(t, []string{"leave", "drain", "task", "close 2", "close 1"}, c.hooks)
	require.EqualError(t, r.Cause, "signal SIGTERM")
	require.GreaterOrEqual(t, r.Took, childLameDuck)
}

// This is the negative control: preStop is what makes an immediate SIGTERM graceful.
func TestAnImmediateSIGTERMWithoutPreStopIsNotGraceful(t *testing.T) {
	c := startChild(t, "term is immediate")
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM)) // it may exit before it prints "got SIGTERM"
	c.await("report ")
	require.Error(t, c.cmd.Wait())
	require.Equal(t, 128+int(syscall.SIGTERM), c.cmd.ProcessState.ExitCode())
	require.NotContains(t, c.hooks, "task")
}

// The process may exit a moment after the lame duck.
func TestThePreStopResponseIsSentBeforeTheProcessExits(t *testing.T) {
	late := 0
	for range 10 {
		c := startChild(t, "term is graceful")
		c.finishTask()
		answer := get(t, c.url+"/prestop")
		r := c.end()
		// It waits a second for its responses, and a busy machine may be stopped that long.
		if answer != "200 the lame duck is over" && r.Took >= childLameDuck+time.Second {
			late++
			continue
		}
		require.Equal(t, "200 the lame duck is over", answer, "the shutdown took %v", r.Took)
	}
	require.LessOrEqual(t, late, 2)
}

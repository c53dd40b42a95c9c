//go:build unix

package shutdown_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// patience bounds the wait for what happens at once unless the machine is overloaded.
const patience = 50 * time.Second

// A process is a child process that runs a scenario.
type process struct {
	t        testing.TB
	cmd      *exec.Cmd
	out, log *output
	stdin    io.Closer
	begun    time.Time // when the first signal was sent
	ended    chan struct{}
	endedAt  time.Time

	stoppedAt time.Time // when it had stopped itself, or a little after that
}

func start(t testing.TB, scenario string, change ...func(*exec.Cmd)) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	p := &process{t: t, cmd: exec.Command(exe), ended: make(chan struct{})}
	p.out, p.log = newOutput(p), newOutput(p)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.log
	p.cmd.Dir = t.TempDir()
	// Not the environment of this process: in a pod it would mean a lame duck.
	p.cmd.Env = []string{childEnv + "=" + scenario, "PATH=" + os.Getenv("PATH"),
		"GORACE=atexit_sleep_ms=0"} // otherwise each exit takes a second longer
	for _, c := range change {
		c(p.cmd)
	}
	if p.cmd.Stdin == nil {
		p.stdin, err = p.cmd.StdinPipe()
		require.NoError(t, err)
	}
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // tests read the state
		p.endedAt = time.Now()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // nothing if it has ended
		<-p.ended
		if t.Failed() {
			t.Logf("%s: %v\nstdout:\n%s\nstderr:\n%s\nevents: %q", scenario, p.cmd.ProcessState, p.out, p.log, p.events())
		}
	})
	return p
}

// startSeveral is for failures that do not happen every time.
func startSeveral(t *testing.T, scenario string) (several []*process) {
	t.Helper()
	for range 6 {
		several = append(several, start(t, scenario))
	}
	return several
}

// startIntoBrokenPipe starts a child whose stdout and stderr are a pipe of which the read end is
// closed after the first line.
func startIntoBrokenPipe(t *testing.T, scenario string) *process {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	p := start(t, scenario, func(cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = w, w })
	require.NoError(t, r.SetReadDeadline(time.Now().Add(patience)))
	line := make([]byte, len("ready\n"))
	_, err = io.ReadFull(r, line)
	require.NoError(t, err)
	require.Equal(t, "ready\n", string(line))
	require.NoError(t, r.Close())
	// A child of another test that is between fork and exec still has the read end.
	require.Eventually(t, func() bool {
		end := []unix.PollFd{{Fd: int32(w.Fd())}} //nolint:gosec // small
		_, err := unix.Poll(end, 0)
		return err == nil && end[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
	}, patience, time.Millisecond)
	return p
}

// send sends sig.
func (p *process) send(sig syscall.Signal) {
	p.t.Helper()
	if p.begun.IsZero() {
		p.begun = time.Now()
	}
	require.NoError(p.t, p.cmd.Process.Signal(sig))
}

// signal sends sig when the child is ready, and returns when its Action has run. A child that
// ends may do so before it says that.
func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	p.out.await("ready")
	before := strings.Count(p.out.String(), got(sig))
	p.send(sig)
	p.out.look(got(sig), before+1)
}

// continueAfter lets children continue, d after all of them have stopped themselves.
func continueAfter(d time.Duration, children ...*process) {
	for _, p := range children {
		p.out.await("stops")
		p.awaitStop()
	}
	time.Sleep(d)
	for _, p := range children {
		_ = p.cmd.Process.Signal(syscall.SIGCONT) // it may have ended instead of stopping
	}
}

// awaitStop waits until the child is stopped or has ended. Without /proc it relies on what the
// child has printed before.
func (p *process) awaitStop() {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		return err != nil || bytes.Contains(stat, []byte(") T ")) || bytes.Contains(stat, []byte(") Z "))
	}, patience, time.Millisecond)
	p.stoppedAt = time.Now()
}

func (p *process) finishTask() { _ = p.stdin.Close() }

func (p *process) requireExit(code int) (took time.Duration) {
	p.t.Helper()
	status, took := p.wait()
	require.True(p.t, status.Exited(), "ended by %v", p.cmd.ProcessState)
	require.Equal(p.t, code, status.ExitStatus())
	return took
}

func (p *process) requireKilledBy(sig syscall.Signal) (took time.Duration) {
	p.t.Helper()
	status, took := p.wait()
	require.True(p.t, status.Signaled(), "ended by %v", p.cmd.ProcessState)
	require.Equal(p.t, sig, status.Signal())
	return took
}

// wait returns how the child ended, and how long after the first signal.
func (p *process) wait() (status syscall.WaitStatus, took time.Duration) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.FailNow(p.t, "the child is still running")
	}
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus), p.endedAt.Sub(p.begun)
}

// warnings returns the warnings in the child's log, without those that a busy machine causes.
func (p *process) warnings() []string { return warnings(p.log.String()) }

func warnings(log string) (lines []string) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "level=WARN") &&
			!strings.Contains(line, "the process was not scheduled for a while") && !strings.Contains(line, "the disk does not answer") {
			lines = append(lines, line)
		}
	}
	return lines
}

// events returns what the child has recorded.
func (p *process) events() []string {
	text, err := os.ReadFile(filepath.Join(p.cmd.Dir, "events"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(p.t, err)
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// awaitEvent is for a child whose stdout is a broken pipe.
func (p *process) awaitEvent(event string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return strings.Contains(strings.Join(p.events(), "\n"), event) },
		patience, 5*time.Millisecond)
}

// An output is what a child has written so far.
type output struct {
	of      *process
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newOutput(of *process) *output { return &output{of: of, changed: make(chan struct{}, 1)} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits for a whole line with text in it and returns that line.
func (o *output) await(text string) (line string) {
	o.of.t.Helper()
	line, ok := o.look(text, 1)
	if !ok {
		require.FailNow(o.of.t, "the child has ended", "waiting for %q", text)
	}
	return line
}

// look waits for the nth line with text in it; ok is false if the child has
// ended without one.
func (o *output) look(text string, n int) (line string, ok bool) {
	o.of.t.Helper()
	timeout := time.After(patience)
	ended := o.of.ended
	for {
		count := 0
		for line := range strings.Lines(o.String()) {
			if strings.Contains(line, text) && strings.HasSuffix(line, "\n") {
				if count++; count == n {
					return line, true
				}
			}
		}
		if ended == nil {
			return "", false
		}
		select {
		case <-o.changed:
		case <-ended:
			ended = nil // all of its output is here now: look once more
		case <-timeout:
			require.FailNow(o.of.t, "the child has not printed it", "waiting for %q", text)
		}
	}
}

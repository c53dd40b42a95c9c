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

// patience is for what comes at once on a machine that is not overloaded.
const patience = 50 * time.Second

// A process is a child that runs a scenario.
type process struct {
	t        testing.TB
	cmd      *exec.Cmd
	out, log *output
	stdin    io.Closer
	begun    time.Time // when the first signal was sent
	ended    chan struct{}
	endedAt  time.Time

	stoppedAt time.Time // when it had stopped itself, or a little later
}

func start(t testing.TB, scenario string, change ...func(*exec.Cmd)) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	p := &process{t: t, cmd: exec.Command(exe), ended: make(chan struct{})}
	p.out, p.log = newOutput(p), newOutput(p)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.log
	p.cmd.Dir = t.TempDir()
	// Not our environment: in a pod there would be a lame duck.
	p.cmd.Env = []string{childEnv + "=" + scenario, "PATH=" + os.Getenv("PATH"),
		"GORACE=atexit_sleep_ms=0"} // else each exit takes a second more
	for _, c := range change {
		c(p.cmd)
	}
	if p.cmd.Stdin == nil {
		p.stdin, err = p.cmd.StdinPipe()
		require.NoError(t, err)
	}
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // the tests read the state
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

// startSeveral is for what may go well by chance.
func startSeveral(t *testing.T, scenario string) (several []*process) {
	t.Helper()
	for range 6 {
		several = append(several, start(t, scenario))
	}
	return several
}

// startIntoDeadPipe starts a child whose stdout and stderr are a pipe that
// nobody reads any more after its first line.
func startIntoDeadPipe(t *testing.T, scenario string) *process {
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
	// A child of another test that has been forked and has not come to its exec
	// still has the end that is read.
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

// signal sends sig when the child is ready, and returns when its Action has run
// or the child has ended, which may come before it has told us of the former.
func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	p.out.await("ready")
	before := strings.Count(p.out.String(), got(sig))
	p.send(sig)
	p.out.look(got(sig), before+1)
}

// thaw lets children go on that have stopped themselves, after d.
func thaw(d time.Duration, children ...*process) {
	for _, p := range children {
		p.out.await("stops")
		p.awaitStop()
	}
	time.Sleep(d)
	for _, p := range children {
		_ = p.cmd.Process.Signal(syscall.SIGCONT) // it may have ended before it stopped
	}
}

// awaitStop waits until the child does not run. Where there is no /proc, what it
// has said must do.
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
		require.FailNow(p.t, "the child goes on")
	}
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus), p.endedAt.Sub(p.begun)
}

// warnings are those in the child's log that are not about a machine that stood
// still.
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

// events are what the child has recorded.
func (p *process) events() []string {
	text, err := os.ReadFile(filepath.Join(p.cmd.Dir, "events"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(p.t, err)
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// awaitEvent is for a child that has nobody to say it to.
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
			ended = nil // all that it wrote is here now: look once more
		case <-timeout:
			require.FailNow(o.of.t, "the child does not say it", "waiting for %q", text)
		}
	}
}

// Package recipetest runs the recipes as processes of their own.
package recipetest

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

// Patience bounds the wait for what happens at once unless the machine is overloaded.
const Patience = time.Minute

// Main is for TestMain. In a process that [Start] has started it runs the program of that
// name instead of the tests.
func Main(m *testing.M, programs map[string]func()) {
	if name := os.Getenv("RECIPE"); name != "" {
		programs[name]()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A Process runs a program.
type Process struct {
	Addr string // what demo.Addr is in it

	t        testing.TB
	cmd      *exec.Cmd
	stdin    io.Closer
	out, log testlog.Buffer
	ended    chan struct{}
}

// Start starts a program of those that Main was given. At the end of the test the process
// is killed if it has not ended.
func Start(t testing.TB, program string, env ...string) *Process {
	t.Helper()
	p := &Process{Addr: FreeAddr(t), t: t, cmd: exec.Command(os.Args[0]), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.log
	// Not the environment of this process: in a pod it would mean a lame duck.
	p.cmd.Env = append([]string{"RECIPE=" + program, "RECIPE_ADDR=" + p.Addr, "PATH=" + os.Getenv("PATH"),
		"SHUTDOWN_GRACE_PERIOD=60", "GORACE=atexit_sleep_ms=0"}, env...)
	var err error
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // tests look at the state
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // nothing if it has ended
		<-p.ended
		if t.Failed() {
			t.Logf("%s: %v\nstdout:\n%s\nstderr:\n%s", program, p.cmd.ProcessState, p.Output(), p.Log())
		}
	})
	return p
}

// FreeAddr returns an address on which a process can listen.
func FreeAddr(t testing.TB) string {
	t.Helper()
	addr, err := loopback.FreeAddr()
	require.NoError(t, err)
	return addr
}

// Output returns what the process has printed.
func (p *Process) Output() string { return p.out.String() }

// Log returns what the process has logged.
func (p *Process) Log() string { return p.log.String() }

// Await waits until the process has printed or logged a line with text, and returns the
// first one.
func (p *Process) Await(text string) string {
	p.t.Helper()
	deadline := time.Now().Add(Patience)
	for time.Now().Before(deadline) {
		for line := range strings.Lines(p.Output() + p.Log()) {
			if strings.Contains(line, text) && strings.HasSuffix(line, "\n") {
				return line
			}
		}
		select {
		case <-p.ended:
			if !strings.Contains(p.Output()+p.Log(), text) {
				require.FailNow(p.t, "the process has ended without a line", text)
			}
		case <-time.After(2 * time.Millisecond):
		}
	}
	require.FailNow(p.t, "there is no line", text)
	return ""
}

// AwaitListen waits until the process listens.
func (p *Process) AwaitListen() {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		c, err := net.Dial("tcp", p.Addr)
		if err == nil {
			err = c.Close()
		}
		return err == nil
	}, Patience, 2*time.Millisecond, "the program listens")
}

// Terminate sends SIGTERM.
func (p *Process) Terminate() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
}

// Kill sends SIGKILL.
func (p *Process) Kill() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Kill())
}

// Release lets demo.Work return.
func (p *Process) Release() { p.stdin.Close() }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Exit waits until the process has ended, and returns how: "exit status 0" or
// "signal: terminated".
func (p *Process) Exit() string {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(Patience):
		require.FailNow(p.t, "the process does not end")
	}
	return fmt.Sprint(p.cmd.ProcessState)
}

// ExitsWell checks that the process ends with 0, that the last line of its log says so, and
// that it has logged what the documentation says.
func (p *Process) ExitsWell() {
	p.t.Helper()
	require.Equal(p.t, "exit status 0", p.Exit())
	lines := strings.Split(strings.TrimSpace(p.Log()), "\n")
	require.Contains(p.t, lines[len(lines)-1], "INFO shutdown: finished ")
	requireDocumented(p.t, p.Log())
}

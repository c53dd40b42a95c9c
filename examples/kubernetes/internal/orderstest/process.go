// Package orderstest runs a service of orders as a process of its own, and uses it.
package orderstest

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

// Patience bounds the wait for what happens at once unless the machine is overloaded.
const Patience = time.Minute

// Main is for TestMain. In a process that [Start] has started it runs the program instead
// of the tests.
func Main(m *testing.M, program func()) {
	if os.Getenv("ORDERS_PROGRAM") != "" {
		time.AfterFunc(5*time.Minute, func() { os.Exit(99) }) // it must not outlive its parent
		program()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A Process is a service that runs.
type Process struct {
	HTTP, GRPC, Admin string // addresses
	Log               testlog.Buffer

	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}
}

// Start starts the service in dir, and returns when it is ready. At the end of the test
// the process is killed if it has not ended.
func Start(t *testing.T, dir string, env ...string) *Process {
	t.Helper()
	addrs, err := loopback.FreeAddrs(3)
	require.NoError(t, err)
	p := &Process{HTTP: addrs[0], GRPC: addrs[1], Admin: addrs[2], t: t, ended: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], "-http", p.HTTP, "-grpc", p.GRPC, "-admin", p.Admin)
	p.cmd.Dir = dir
	// Not the environment of this process: in a pod it would mean a lame duck.
	p.cmd.Env = append([]string{"ORDERS_PROGRAM=1", "PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.Log, &p.Log
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // tests look at the state
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // nothing if it has ended
		<-p.ended
		if t.Failed() {
			t.Logf("%v\n%s", p.cmd.ProcessState, p.Log.String())
		}
	})
	p.Await("the service is ready", func() bool {
		resp, err := http.Get("http://" + p.Admin + "/readyz")
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
	p.Await("the service listens", func() bool { return !refused(p.HTTP) && !refused(p.GRPC) })
	return p
}

func refused(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		_ = c.Close()
	}
	return err != nil
}

// Signal sends sig.
func (p *Process) Signal(sig os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(sig))
}

// AwaitRefused waits until the service accepts no HTTP connections.
func (p *Process) AwaitRefused() {
	p.t.Helper()
	p.Await("connections are refused", func() bool { return refused(p.HTTP) })
}

// AwaitLog waits until the service has logged a line with text, and returns the first one.
func (p *Process) AwaitLog(text string) string {
	p.t.Helper()
	p.Await(text, func() bool { return len(p.Log.Lines(text)) > 0 })
	return p.Log.Lines(text)[0]
}

// ExitCode waits until the process has ended, and returns its exit code, or -1 if a signal
// has ended it.
func (p *Process) ExitCode() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(Patience):
		require.FailNow(p.t, "the process does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// Await waits until condition is true.
func (p *Process) Await(what string, condition func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(Patience); !condition(); time.Sleep(5 * time.Millisecond) {
		require.True(p.t, time.Now().Before(deadline), what)
	}
}

package listener_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/listener"
)

// A container that has used up its CPU quota is suspended for some 50 to 100 ms. That
// loses no connection in the queue, even if Drain cannot inspect the queue, and even
// if it adds up to more than a second.
func TestAProcessSuspendedDuringADrainLosesNoConnections(t *testing.T) {
	t.Parallel()
	for round := 1; ; round++ {
		lost, took := drainSuspended(t)
		t.Logf("lost %d in %v", lost, took)
		if lost == 0 && took > time.Second {
			return
		}
		// On a busy machine, Accept alone may be delayed while Drain goes on, or
		// Drain itself may be late.
		require.Less(t, round, 6)
	}
}

const suspendedChild = "LISTENER_TEST_SUSPENDED"

func init() {
	if os.Getenv(suspendedChild) != "" {
		runSuspended()
	}
}

// drainSuspended starts a child that stops itself, and continues it each time.
func drainSuspended(t *testing.T) (lost int, took time.Duration) {
	exe, err := os.Executable()
	require.NoError(t, err)
	child := exec.Command(exe)
	child.Env = append(os.Environ(), suspendedChild+"=1", "GORACE=atexit_sleep_ms=0")
	stdout, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			lines <- in.Text()
		}
	}()
	var last string
	for open := true; open; {
		select {
		case line, ok := <-lines:
			if open = ok; ok {
				last = line
			}
		case <-time.After(100 * time.Millisecond):
			_ = child.Process.Signal(syscall.SIGCONT) // no effect if it runs
		}
	}
	require.NoError(t, child.Wait())
	_, err = fmt.Sscan(last, &lost, &took)
	require.NoError(t, err, last)
	return lost, took
}

// runSuspended is the child.
func runSuspended() {
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	time.AfterFunc(time.Minute, func() { os.Exit(99) }) // the parent may be killed
	inner, err := net.Listen("tcp", loopback.Addr())
	check(err)
	var clients []client
	for range 12 {
		conn, err := net.Dial("tcp", inner.Addr().String())
		check(err)
		clients = append(clients, client{conn})
		check(client{conn}.send())
		for !arrived(conn) {
			time.Sleep(time.Millisecond)
		}
	}
	ln := listener.New(suspending{opaque{inner}})
	var s server
	s.loops.Go(func() { _ = s.loop(ln) })
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	begun := time.Now()
	check(ln.Drain(ctx))
	took := time.Since(begun)
	s.wait()
	fmt.Println(lost(clients), int64(took))
	os.Exit(0)
}

// suspending is a listener that stops the process before each Accept, after Drain
// has started to wait for it.
type suspending struct{ net.Listener }

func (l suspending) Accept() (net.Conn, error) {
	time.Sleep(5 * time.Millisecond)
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	return l.Listener.Accept()
}

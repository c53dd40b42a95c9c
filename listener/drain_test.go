package listener_test

import (
	"context"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/listener"
)

// No connection is accepted before the drain starts.
func TestAcceptReturnsQueuedConnectionsDuringADrain(t *testing.T) {
	t.Parallel()
	kinds := map[string]func(t *testing.T) *listener.Listener{
		"IPv4":             func(t *testing.T) *listener.Listener { return listen(t, "tcp4", "127.0.0.1:0") },
		"IPv6":             func(t *testing.T) *listener.Listener { return listen(t, "tcp6", "[::1]:0") },
		"unix":             func(t *testing.T) *listener.Listener { return listen(t, "unix", socketPath(t)) },
		"New":              func(t *testing.T) *listener.Listener { return listener.New(netListen(t)) },
		"New, with EMFILE": func(t *testing.T) *listener.Listener { return listener.New(&noDescriptors{TCPListener: netListen(t)}) },
	}
	for name, make := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ln := make(t)
			clients := dialMany(t, ln.Addr(), 50)
			s := serve(t, ln, 1)
			require.NoError(t, ln.Drain(soonContext(t)))

			require.Zero(t, lost(clients))
			served, ends := s.wait()
			require.Equal(t, 50, served)
			require.ErrorIs(t, ends[0], net.ErrClosed)
		})
		t.Run(name+", control: Close resets them", func(t *testing.T) {
			t.Parallel()
			ln := make(t)
			clients := dialMany(t, ln.Addr(), 50)
			require.NoError(t, ln.Close())
			require.Equal(t, 50, lost(clients))
		})
	}
}

func TestADualStackListenerDrainsBothAddressFamilies(t *testing.T) {
	ln := listen(t, "tcp", ":0")
	port := ln.Addr().(*net.TCPAddr).Port
	clients := dialMany(t, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}, 20)
	if c, err := net.Dial("tcp6", ln.Addr().String()); err == nil {
		c.Close()
		clients = append(clients, dialMany(t, &net.TCPAddr{IP: net.IPv6loopback, Port: port}, 20)...)
	}
	serve(t, ln, 1)
	require.NoError(t, ln.Drain(soonContext(t)))
	require.Zero(t, lost(clients))
}

func TestSeveralAcceptLoopsShareTheQueueAndAllReturn(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	early := serve(t, ln, 4) // blocked in Accept when the drain starts
	clients := dialMany(t, ln.Addr(), 200)
	late := serve(t, ln, 4)
	require.NoError(t, ln.Drain(soonContext(t)))

	require.Zero(t, lost(clients))
	earlyServed, ends := early.wait()
	lateServed, lateEnds := late.wait()
	require.Equal(t, 200, earlyServed+lateServed)
	for _, err := range append(ends, lateEnds...) {
		require.ErrorIs(t, err, net.ErrClosed)
	}
}

func TestDrainWithoutAnAcceptLoop(t *testing.T) {
	t.Run("succeeds if the queue is empty", func(t *testing.T) {
		ln := listen(t, "tcp", "127.0.0.1:0")
		require.NoError(t, ln.Drain(soonContext(t)))
		_, err := ln.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
	t.Run("waits for one, and closes the listener when its context ends", func(t *testing.T) {
		ln := listen(t, "tcp", "127.0.0.1:0")
		clients := dialMany(t, ln.Addr(), 3)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := ln.Drain(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, ln.Addr().String())
		if runtime.GOOS == "linux" {
			require.ErrorContains(t, err, "at least 3 connections in its queue")
		}
		_, accept := ln.Accept()
		require.ErrorIs(t, accept, net.ErrClosed)
		require.Equal(t, 3, lost(clients))
		require.Equal(t, err, ln.Drain(t.Context()), "a second call returns the same error")
	})
	t.Run("accepts the queue when an accept loop starts late", func(t *testing.T) {
		ln := listen(t, "tcp", "127.0.0.1:0")
		clients := dialMany(t, ln.Addr(), 3)
		drained := startDrain(t, ln)
		serve(t, ln, 1)
		require.NoError(t, <-drained)
		require.Zero(t, lost(clients))
	})
}

func TestDrainReturnsTheCauseOfItsContext(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	clients := dialMany(t, ln.Addr(), 1)
	ctx, force := context.WithCancelCause(t.Context())
	force(shutdown.ErrForced)
	again := make(chan error, 1)
	go func() { again <- ln.Drain(ctx) }()
	for _, err := range []error{ln.Drain(ctx), <-again} {
		require.ErrorIs(t, err, shutdown.ErrForced)
		require.NotContains(t, err.Error(), "timed out")
	}
	if runtime.GOOS == "linux" {
		require.ErrorContains(t, ln.Drain(ctx), "closed with at least 1 connection in its queue: ")
	}
	require.Equal(t, 1, lost(clients))
}

func TestASecondDrainWaitsForTheFirst(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	clients := dialMany(t, ln.Addr(), 3)
	first := startDrain(t, ln)
	second := startDrain(t, ln)

	// The context of a later call ends only that call.
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, ln.Drain(over), context.Canceled)
	require.Empty(t, first)
	require.Empty(t, second)

	serve(t, ln, 1)
	require.NoError(t, <-first)
	require.NoError(t, <-second)
	require.NoError(t, ln.Drain(over), "the drain has ended, so the context does not matter")
	require.NoError(t, ln.Close())
	require.Zero(t, lost(clients))
}

func TestCloseEndsADrain(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	clients := dialMany(t, ln.Addr(), 3)
	drained := startDrain(t, ln)
	require.NoError(t, ln.Close())
	require.ErrorIs(t, <-drained, net.ErrClosed)
	require.Equal(t, 3, lost(clients))
}

func TestDrainAfterCloseReturnsNil(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	require.NoError(t, ln.Close())
	require.NoError(t, ln.Close())
	require.NoError(t, ln.Drain(t.Context()))
}

func TestCloseUnblocksAccept(t *testing.T) {
	for name, inner := range map[string]func(net.Listener) net.Listener{
		"of a socket":                            func(ln net.Listener) net.Listener { return ln },
		"of a listener with an error of its own": func(ln net.Listener) net.Listener { return opaque{ln} },
	} {
		t.Run(name, func(t *testing.T) {
			ln := listener.New(inner(netListen(t)))
			s := serve(t, ln, 3)
			require.NoError(t, ln.Close())
			_, ends := s.wait()
			require.Len(t, ends, 3)
			for _, err := range ends {
				require.ErrorIs(t, err, net.ErrClosed)
			}
		})
	}
}

func TestNewReturnsAListenerOfThisPackageUnchanged(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	require.Same(t, ln, listener.New(ln))
}

func TestConnectionsAreNotWrapped(t *testing.T) {
	for _, ln := range []*listener.Listener{
		listen(t, "tcp", "127.0.0.1:0"),
		listener.New(netListen(t)),
		listen(t, "unix", socketPath(t)),
	} {
		dial(t, ln.Addr())
		conn, err := ln.Accept()
		require.NoError(t, err)
		defer conn.Close()
		switch conn.(type) {
		case *net.TCPConn, *net.UnixConn:
		default:
			t.Errorf("%T", conn)
		}
	}
}

func TestListenReturnsTheErrorsOfNetListen(t *testing.T) {
	ln := listen(t, "tcp", "127.0.0.1:0")
	_, err := listener.Listen(t.Context(), "tcp", ln.Addr().String())
	require.Error(t, err)
	_, err = listener.Listen(t.Context(), "udp", "127.0.0.1:0")
	require.Error(t, err)
}

// noDescriptors returns EMFILE from every other call of Accept.
type noDescriptors struct {
	*net.TCPListener
	calls int
}

func (l *noDescriptors) Accept() (net.Conn, error) {
	if l.calls++; l.calls%2 == 1 {
		return nil, os.NewSyscallError("accept4", syscall.EMFILE)
	}
	return l.TCPListener.Accept()
}

// startDrain returns when Drain waits for something.
func startDrain(t *testing.T, ln *listener.Listener) <-chan error {
	ctx := watch(soonContext(t))
	drained := start(func() error { return ln.Drain(ctx) })
	ctx.await(t)
	return drained
}

// watched is a context that tells when its Done method is first called.
type watched struct {
	context.Context
	once    sync.Once
	waiting chan struct{}
}

func watch(ctx context.Context) *watched {
	return &watched{Context: ctx, waiting: make(chan struct{})}
}

func (c *watched) Done() <-chan struct{} {
	c.once.Do(func() { close(c.waiting) })
	return c.Context.Done()
}

// await returns when Drain waits for something.
func (c *watched) await(t *testing.T) {
	t.Helper()
	select {
	case <-c.waiting:
	case <-c.Context.Done():
		require.FailNow(t, "Drain does not wait")
	}
}

func start(f func() error) <-chan error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	return result
}

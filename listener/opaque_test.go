package listener_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/listener"
)

// These tests use virtual time: Drain treats a queue that it cannot inspect as empty
// when Accept has waited for a while, which on a slow machine may happen too early.
func TestDrainOfAListenerWithoutAnAccessibleSocket(t *testing.T) {
	t.Run("returns the connections in the queue", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			inner := newMemory()
			ln := listener.New(opaque{inner})
			clients := inner.dialMany(50)
			s := serve(t, ln, 1)
			begun := time.Now()
			require.NoError(t, ln.Drain(soonContext(t)))
			require.Equal(t, 50*time.Millisecond, time.Since(begun))

			require.Zero(t, lost(clients))
			served, ends := s.wait()
			require.Equal(t, 50, served)
			require.ErrorIs(t, ends[0], net.ErrClosed)
		})
	})
	for _, pause := range []time.Duration{3 * time.Millisecond, 19 * time.Millisecond, 49 * time.Millisecond} {
		t.Run(fmt.Sprintf("also if they arrive one by one every %v, but not forever", pause), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := newMemory()
				ln := listener.New(opaque{inner})
				s := serve(t, ln, 1)
				begun := time.Now()
				drained := start(func() error { return ln.Drain(soonContext(t)) })
				var clients []client
				for len(drained) == 0 {
					clients = append(clients, inner.dialMany(1)...)
					time.Sleep(pause)
				}
				require.NoError(t, <-drained)
				require.WithinRange(t, time.Now(), begun.Add(time.Second), begun.Add(1100*time.Millisecond))
				require.LessOrEqual(t, lost(clients), 1, "the one that dialled after the end")
				s.wait()
			})
		})
	}
	t.Run("does not count time in which the process is suspended", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const suspended = 3 * time.Second
			inner := newMemory()
			ln := listener.New(opaque{slow{inner, suspended + 5*time.Millisecond}})
			clients := inner.dialMany(1)
			serve(t, ln, 1)
			require.NoError(t, ln.Drain(&stalling{Context: soonContext(t), nth: 1, pause: suspended}))
			require.Zero(t, lost(clients))
		})
	})
	t.Run("nor if a connection has arrived by the end of the last interval", func(t *testing.T) {
		for range 50 { // which of two events Drain sees first is random
			synctest.Test(t, func(t *testing.T) {
				inner := newMemory()
				ln := listener.New(opaque{slow{inner, 5 * time.Millisecond}})
				serve(t, ln, 1)
				// The first wait is for Accept to start; the sixth is the last interval.
				ctx := &stalling{Context: soonContext(t), nth: 6, pause: 100 * time.Millisecond}
				drained := start(func() error { return ln.Drain(ctx) })
				time.Sleep(138 * time.Millisecond)
				clients := inner.dialMany(2)
				require.NoError(t, <-drained)
				require.Zero(t, lost(clients))
			})
		}
	})
	t.Run("nor time in which Accept is not called", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			inner := newMemory()
			ln := listener.New(opaque{slow{inner, time.Millisecond}})
			clients := inner.dialMany(50)
			drained := start(func() error { return ln.Drain(soonContext(t)) })
			time.Sleep(5 * time.Second)
			serve(t, ln, 1)
			require.NoError(t, <-drained)
			require.Zero(t, lost(clients))
		})
	})
	t.Run("fails if Close interrupts it", func(t *testing.T) {
		for range 50 {
			synctest.Test(t, func(t *testing.T) {
				// Accept returns when the listener is closed, which makes Drain look again.
				ln := listener.New(opaque{newMemory()})
				serve(t, ln, 4)
				drained := startDrain(t, ln)
				require.NoError(t, ln.Close())
				require.ErrorIs(t, <-drained, net.ErrClosed)
			})
		}
	})
	t.Run("does not close the listener while Accept is not called", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			inner := newMemory()
			ln := listener.New(opaque{inner})
			clients := inner.dialMany(3)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			require.ErrorIs(t, ln.Drain(ctx), context.DeadlineExceeded)
			require.Equal(t, 3, lost(clients))
		})
	})
}

func TestDrainingAListenerInsideAWrapperLosesNoConnections(t *testing.T) {
	inner := listen(t, "tcp", "127.0.0.1:0")
	clients := dialMany(t, inner.Addr(), 3)
	serve(t, opaque{inner}, 1)
	require.NoError(t, inner.Drain(soonContext(t)))
	require.Zero(t, lost(clients))
}

// opaque gives no access to its socket, and its Accept has an error of its own.
type opaque struct{ net.Listener }

func (l opaque) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		err = errors.New("no more")
	}
	return conn, err
}

// slow is a listener whose Accept starts with a pause.
type slow struct {
	net.Listener
	takes time.Duration
}

func (l slow) Accept() (net.Conn, error) {
	time.Sleep(l.takes)
	return l.Listener.Accept()
}

// stalling is a context that suspends Drain once, when Drain is about to wait for the
// nth time.
type stalling struct {
	context.Context
	nth, calls int
	pause      time.Duration
}

func (c *stalling) Done() <-chan struct{} {
	if c.calls++; c.calls == c.nth {
		time.Sleep(c.pause)
	}
	return c.Context.Done()
}

// memory is a listener without a socket. Closing it closes the connections in its queue.
type memory struct {
	queue  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemory() *memory {
	return &memory{queue: make(chan net.Conn, 100), closed: make(chan struct{})}
}

func (l *memory) dialMany(n int) []client {
	clients := make([]client, n)
	for i := range clients {
		here, there := net.Pipe()
		clients[i] = client{here}
		go func() { _ = clients[i].send() }() // a pipe has no buffer
		l.queue <- there
		if l.isClosed() {
			l.reset()
		}
	}
	return clients
}

func (l *memory) Accept() (net.Conn, error) {
	select {
	case conn := <-l.queue:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memory) Close() error {
	l.once.Do(func() { close(l.closed) })
	l.reset()
	return nil
}

func (l *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (l *memory) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

func (l *memory) reset() {
	for {
		select {
		case conn := <-l.queue:
			conn.Close()
		default:
			return
		}
	}
}

package listener_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/listener"
)

// Time is virtual here: a queue that nobody can look into counts as empty when
// Accept has waited for a while, and on a machine that stands still it does.
func TestDrainOfAListenerThatCannotBeLookedInto(t *testing.T) {
	t.Run("hands out who waits in the queue", func(t *testing.T) {
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
	t.Run("also if they come one by one, but not for ever", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			inner := newMemory()
			ln := listener.New(opaque{inner})
			s := serve(t, ln, 1)
			begun := time.Now()
			drained := start(func() error { return ln.Drain(soonContext(t)) })
			var clients []client
			for len(drained) == 0 {
				clients = append(clients, inner.dialMany(1)...)
				time.Sleep(49 * time.Millisecond)
			}
			require.NoError(t, <-drained)
			require.WithinRange(t, time.Now(), begun.Add(time.Second), begun.Add(1100*time.Millisecond))
			require.LessOrEqual(t, lost(clients), 1, "who dialled when it was over")
			s.wait()
		})
	})
	t.Run("is no success if it is interrupted", func(t *testing.T) {
		for range 50 {
			synctest.Test(t, func(t *testing.T) {
				// Its Accept returns when it is closed, which makes Drain look again.
				ln := listener.New(opaque{newMemory()})
				serve(t, ln, 4)
				drained := startDrain(t, ln)
				require.NoError(t, ln.Close())
				require.ErrorIs(t, <-drained, net.ErrClosed)
			})
		}
	})
	t.Run("does not close it while nobody accepts", func(t *testing.T) {
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

func TestAListenerThatCannotBeLookedIntoIsBetterWrappedAroundOurs(t *testing.T) {
	inner := listen(t, "tcp", "127.0.0.1:0")
	clients := dialMany(t, inner.Addr(), 3)
	serve(t, opaque{inner}, 1)
	require.NoError(t, inner.Drain(soonContext(t)))
	require.Zero(t, lost(clients))
}

// opaque gives no access to its socket, and ends with an error of its own.
type opaque struct{ net.Listener }

func (l opaque) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		err = errors.New("no more")
	}
	return conn, err
}

// memory is a listener without a socket. Closing it resets who is in its queue.
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

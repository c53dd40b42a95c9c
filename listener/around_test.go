package listener_test

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/listener"
)

// counting is a wrapper that counts connections, as many programs have it.
type counting struct {
	*listener.Listener
	n atomic.Int64
}

func (c *counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}

// private does not reveal what it wraps.
type private struct{ inner net.Listener }

func (l private) Accept() (net.Conn, error) { return l.inner.Accept() }
func (l private) Close() error              { return l.inner.Close() }
func (l private) Addr() net.Addr            { return l.inner.Addr() }

// limited has a limit of open connections, like netutil.LimitListener.
type limited struct {
	net.Listener
	free chan struct{}
}

func limit(ln net.Listener, n int) *limited { return &limited{ln, make(chan struct{}, n)} }

func (l *limited) Accept() (net.Conn, error) {
	l.free <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.free })}, nil
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// The wrapper has to return what the Listener below it has accepted. Closing it
// instead would reset the connections in the queue.
func TestAWrappedListenerDrainsWithoutLosingConnections(t *testing.T) {
	wrappers := map[string]func(*listener.Listener) *listener.Listener{
		"embeds a Listener":     func(l *listener.Listener) *listener.Listener { return listener.New(&counting{Listener: l}) },
		"embeds a net.Listener": func(l *listener.Listener) *listener.Listener { return listener.New(opaque{l}) },
		"two of them": func(l *listener.Listener) *listener.Listener {
			return listener.New(opaque{&counting{Listener: l}})
		},
		"around one that New has returned": func(l *listener.Listener) *listener.Listener {
			return listener.New(opaque{listener.New(&counting{Listener: l})})
		},
		"does not reveal what it wraps": func(l *listener.Listener) *listener.Listener {
			return listener.Around(private{l}, l)
		},
		"at its limit": func(l *listener.Listener) *listener.Listener { return listener.New(limit(l, 1)) },
	}
	for name, wrap := range wrappers {
		for network, addr := range map[string]string{"tcp": "127.0.0.1:0", "unix": ""} {
			t.Run(name+", "+network, func(t *testing.T) {
				t.Parallel()
				if network == "unix" {
					addr = socketPath(t)
				}
				base := listen(t, network, addr)
				ln := wrap(base)
				clients := dialMany(t, ln.Addr(), 50)
				s := serve(t, ln, 1)
				require.NoError(t, ln.Drain(soonContext(t)))
				require.Zero(t, lost(clients))
				served, ends := s.wait()
				require.Equal(t, 50, served)
				require.ErrorIs(t, ends[0], net.ErrClosed)
				require.NoError(t, base.Drain(soonContext(t)), "the base has drained too")
			})
		}
	}
	t.Run("control: without Around", func(t *testing.T) {
		t.Parallel()
		base := listen(t, "tcp", "127.0.0.1:0")
		clients := dialMany(t, base.Addr(), 50)
		require.NoError(t, private{base}.Close())
		require.Equal(t, 50, lost(clients))
	})
}

func TestATLSListenerDrainsTheListenerItWraps(t *testing.T) {
	base := listen(t, "tcp", "127.0.0.1:0")
	ln := listener.New(tls.NewListener(base, &tls.Config{MinVersion: tls.VersionTLS13}))
	require.NoError(t, ln.Drain(soonContext(t)))
	_, err := base.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

// A mux works like cmux: it reads from each connection and passes it to one of two
// listeners. When Accept of the root fails, it closes the connections that it still
// has.
type mux struct {
	root  net.Listener
	parts [2]muxed
	done  chan struct{}
}

type muxed struct {
	net.Listener
	queue chan net.Conn
	done  chan struct{}
}

func (l muxed) Accept() (net.Conn, error) {
	select {
	case conn := <-l.queue:
		return conn, nil
	case <-l.done:
		return nil, errNoMore
	}
}

type noMore struct{}

func (noMore) Error() string { return "no more" }

var errNoMore error = noMore{}

func newMux(root net.Listener) *mux {
	m := &mux{root: root, done: make(chan struct{})}
	for i := range m.parts {
		m.parts[i] = muxed{root, make(chan net.Conn, 100), m.done}
	}
	return m
}

func (m *mux) serve(sniff func(net.Conn) int) {
	var conns sync.WaitGroup
	for {
		conn, err := m.root.Accept()
		if err != nil {
			break
		}
		conns.Go(func() {
			part := sniff(conn)
			if part < 0 {
				conn.Close()
				return
			}
			select {
			case m.parts[part].queue <- conn:
			case <-m.done:
				conn.Close()
			}
		})
	}
	close(m.done)
	conns.Wait()
}

func TestAMuxDrainsWithoutLosingConnections(t *testing.T) {
	base := listen(t, "tcp", "127.0.0.1:0")
	m := newMux(base)
	var sorted atomic.Int64
	var sorting sync.WaitGroup
	sorting.Go(func() {
		m.serve(func(net.Conn) int {
			time.Sleep(30 * time.Millisecond) // the client is slow to send its first bytes
			return int(sorted.Add(1) % 2)
		})
	})
	first, second := listener.New(m.parts[0]), listener.New(m.parts[1])
	clients := dialMany(t, base.Addr(), 50)
	one, two := serve(t, first, 1), serve(t, second, 1)
	drained := start(func() error { return first.Drain(soonContext(t)) })
	require.NoError(t, second.Drain(soonContext(t)))
	require.NoError(t, <-drained)
	require.Zero(t, lost(clients))
	sorting.Wait()
	for _, s := range []*server{one, two} {
		served, ends := s.wait()
		require.Equal(t, 25, served)
		require.ErrorIs(t, ends[0], net.ErrClosed, "the mux reports the drain as a closed listener")
	}
}

// The mux waits for the first bytes of a connection that sends none.
func TestASilentConnectionInAMuxDoesNotDelayTheDrain(t *testing.T) {
	base := listen(t, "tcp", "127.0.0.1:0")
	m := newMux(base)
	silent := make(chan struct{})
	var sorting sync.WaitGroup
	sorting.Go(func() {
		m.serve(func(net.Conn) int {
			<-silent
			return -1
		})
	})
	ln := listener.New(m.parts[0])
	s := serve(t, ln, 1)
	dialMany(t, base.Addr(), 1)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	require.NoError(t, ln.Drain(ctx))
	_, ends := s.wait()
	require.Error(t, ends[0])
	close(silent)
	sorting.Wait()
}

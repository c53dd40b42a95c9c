package listener

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// A Listener is a [net.Listener] with a Drain method. Listen, ListenWith, New,
// Around and Shared return one. Its methods may be called by several goroutines at
// once.
type Listener struct {
	inner  net.Listener
	socket syscall.RawConn // nil if inner does not give access to it
	path   *socketPath     // nil if there is no path to remove
	tcp    bool            // made by Listen for TCP, so Drain may change the socket
	shared bool            // the queue has another owner

	// changed holds a token when a call of Accept has started or returned, which
	// makes Drain look again. One token is enough, because Drain looks at states.
	changed   chan struct{}
	accepting atomic.Int32 // calls of inner.Accept in progress
	dropping  atomic.Bool  // SYNs may be dropped

	wraps     *Listener    // what inner wraps; nil if that is no Listener
	wrapped   atomic.Bool  // another Listener is around this one
	accepted  atomic.Int64 // connections that Accept has returned since then
	delivered atomic.Int64 // and that the outermost Listener has returned
	emptied   atomic.Bool  // no more connections will come, so calls of Accept are interrupted
	waiting   atomic.Int32 // those of accepting that have been, and wait for Close

	mu       sync.Mutex // protects draining and the closing of closed
	draining bool
	closed   chan struct{} // closed by the first Close
	drained  chan struct{} // closed when err is final
	err      error         // the result of Drain
}

var _ net.Listener = (*Listener)(nil)

// Listen listens on a new socket, like [net.Listen]. The network is "tcp", "tcp4",
// "tcp6" or "unix". The context is used to resolve a host name; it has no effect once
// Listen has returned. Listen returns the errors of net.Listen.
//
// There are two differences from net.Listen. Multipath TCP is off, because a multipath
// socket accepts no filter (EOPNOTSUPP), which Drain uses where it has to drop SYNs. The
// path of a Unix socket is removed only if it still belongs to this socket, because another
// process may have bound it since. A path that a killed process has left is an error
// (EADDRINUSE), as with net.Listen: remove it first.
func Listen(ctx context.Context, network, addr string) (*Listener, error) {
	return ListenWith(ctx, net.ListenConfig{}, network, addr)
}

// ListenWith is Listen with a [net.ListenConfig], which sets socket options such as
// SO_REUSEPORT, and the keep-alive of the connections.
func ListenWith(ctx context.Context, config net.ListenConfig, network, addr string) (*Listener, error) {
	config.SetMultipathTCP(false)
	inner, err := config.Listen(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l := wrap(inner)
	_, l.tcp = inner.(*net.TCPListener)
	l.path = pathOf(inner)
	return l, nil
}

// New returns a Listener for one that the caller has created. Draining it does not
// change the socket, which other processes may use too. Connections that arrive while
// the queue is being emptied are accepted. Closing a *net.UnixListener removes its path,
// even if another process has bound it since, unless SetUnlinkOnClose(false) was called.
//
// New returns a *Listener unchanged. For a listener that wraps a *Listener, at any
// depth, it returns [Around] of the two, if the field that holds the wrapped listener
// is named Listener. This is so for tls.NewListener, netutil.LimitListener, cmux,
// go-proxyproto, and whatever embeds a *Listener or a net.Listener. For others, call
// Around.
func New(ln net.Listener) *Listener {
	if l, ok := ln.(*Listener); ok {
		return l
	}
	if inner := wrappedListener(ln); inner != nil {
		return Around(ln, inner)
	}
	return wrap(ln)
}

// Shared returns a Listener for one whose socket has another owner that goes on
// accepting: systemd, or the process that takes over from this one. Draining it only
// closes this copy; the other owner accepts the connections in the queue. The path of
// a Unix socket is not removed, on Close either.
//
// If there is no other owner, Drain resets the connections in the queue.
func Shared(ln net.Listener) *Listener {
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	l := wrap(ln)
	l.shared = true
	return l
}

// Accept blocks until there is a connection. It returns the connection that the
// wrapped listener made, which is a *net.TCPConn for TCP. It goes on returning
// connections while the listener drains. After Close or the end of a drain, its error
// matches [net.ErrClosed]. All other errors come from the wrapped listener. They do not
// end a drain; a lack of file descriptors is one of them.
func (l *Listener) Accept() (net.Conn, error) {
	l.accepting.Add(1)
	l.wake()
	conn, err := l.inner.Accept()
	if err == nil && l.wrapped.Load() {
		l.accepted.Add(1)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && l.emptied.Load() {
		l.waiting.Add(1)
		l.wake()
		<-l.closed
	}
	l.accepting.Add(-1)
	l.wake()
	if err == nil {
		if l.dropping.Load() {
			undoDropSYN(conn)
		}
		l.countDelivered()
		return conn, nil
	}
	if (l.isClosed() || l.base().isClosed()) && !errors.Is(err, net.ErrClosed) {
		err = &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
	}
	return nil, err
}

// Close closes the listener at once and resets the connections in its queue. It does
// not wait for calls of Accept. A Drain in progress returns an error. Further calls
// do nothing and return nil.
func (l *Listener) Close() error {
	_, err := l.close()
	return err
}

// Addr returns the address that the listener is bound to.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

func wrap(inner net.Listener) *Listener {
	l := &Listener{
		inner:   inner,
		changed: make(chan struct{}, 1),
		closed:  make(chan struct{}),
		drained: make(chan struct{}),
	}
	if c, ok := inner.(syscall.Conn); ok {
		// An error means that inner is closed; Accept will return it.
		l.socket, _ = c.SyscallConn()
	}
	return l
}

func (l *Listener) close() (first bool, err error) {
	l.mu.Lock()
	first = !l.isClosed()
	if first {
		close(l.closed)
	}
	l.mu.Unlock()
	if first {
		if l.path != nil {
			l.path.remove()
		}
		err = l.inner.Close()
	}
	return first, err
}

// wake makes Drain look again.
func (l *Listener) wake() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

func (l *Listener) isClosed() bool { return isDone(l.closed) }

func isDone(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

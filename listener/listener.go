package listener

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Listener is a [net.Listener] with a Drain method. Listen, ListenWith, New,
// Around and Shared make one. Its methods may be called by several goroutines at once.
type Listener struct {
	inner  net.Listener
	socket syscall.RawConn  // nil if inner gives no access to it
	path   *socketPath      // nil if there is none that is ours to remove
	ours   bool             // nobody else has the socket: it may be changed
	tcp    bool             // and it is one of TCP
	shared bool             // the queue has another owner
	config net.ListenConfig // for what stop has accepted

	// Accept leaves a token here on the way in and on the way out, for Drain to
	// look again. One token is enough, because Drain looks at states.
	moved     chan struct{}
	accepting atomic.Int32 // calls inside inner.Accept
	dropping  atomic.Bool  // dropSYN may have been called
	slowest   slowest      // handshakes

	stopping atomic.Bool   // the kernel may refuse clients, and inner.Accept calls
	stopped  chan struct{} // closed when it does, and caught is complete
	caught   caught
	deaf     time.Duration // from the last SYN to then, for a benchmark

	below   *Listener    // that inner is made around; nil if it is made around none
	wrapped atomic.Bool  // another one is made around this
	handed  atomic.Int64 // connections that Accept has returned since it is wrapped
	out     atomic.Int64 // of them that have come out of what is around it

	mu       sync.Mutex // protects draining and closing done
	draining bool
	closed   chan struct{} // closed by the first Close
	drained  chan struct{} // closed when err is final
	err      error         // the result of Drain
}

var _ net.Listener = (*Listener)(nil)

// Listen announces on a socket of its own, as [net.Listen] does. The network is
// "tcp", "tcp4", "tcp6" or "unix". The context is for looking up a host name;
// once Listen has returned it means nothing.
//
// Unlike with net.Listen, multipath TCP is off, since a multipath socket takes no
// filter (the kernel says EOPNOTSUPP), and the path of a Unix socket is removed
// only if it is still this one's: a successor may have bound it anew.
func Listen(ctx context.Context, network, addr string) (*Listener, error) {
	return ListenWith(ctx, net.ListenConfig{}, network, addr)
}

// ListenWith is Listen with a [net.ListenConfig], for the options of the socket
// (SO_REUSEPORT, say) and the keep-alive of its connections.
func ListenWith(ctx context.Context, config net.ListenConfig, network, addr string) (*Listener, error) {
	config.SetMultipathTCP(false)
	inner, err := config.Listen(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l := wrap(inner)
	l.ours = true
	_, l.tcp = inner.(*net.TCPListener)
	l.config = config
	l.path = pathOf(inner)
	return l, nil
}

// New takes over a listener that the caller made. Draining it changes nothing
// about the socket, which some other process may have as well: connections that
// arrive while the queue is being emptied are accepted like those before them.
//
// A *Listener is returned as it is, with the properties it was made with. What
// wraps one, at any depth, is what [Around] makes of it, if the field in which it
// keeps what it wraps is named Listener: tls.NewListener, netutil.LimitListener,
// cmux, go-proxyproto, and whatever embeds a *Listener or a net.Listener. For
// others call Around.
func New(ln net.Listener) *Listener {
	if l, ok := ln.(*Listener); ok {
		return l
	}
	if inner := listenerIn(ln); inner != nil {
		return Around(ln, inner)
	}
	return wrap(ln)
}

// Shared takes over a listener whose socket has another owner, who goes on
// accepting: systemd, or the process that this one hands over to. Draining it
// just closes this copy; what waits in the queue is for the other owner. The
// path of a Unix socket stays, also on Close.
//
// If there is no other owner, Drain resets what is in the queue.
func Shared(ln net.Listener) *Listener {
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	l := wrap(ln)
	l.shared = true
	return l
}

// Accept waits for the next connection and returns it as the listener below
// made it, for TCP a *net.TCPConn. While the listener drains, Accept goes on
// returning connections. When it is closed or has drained, the error is
// [net.ErrClosed] to errors.Is. All other errors are the listener's own;
// running out of file descriptors, for example, does not end a drain.
func (l *Listener) Accept() (net.Conn, error) {
	l.accepting.Add(1)
	l.signal()
	conn, err := l.accept()
	if err == nil && l.wrapped.Load() {
		l.handed.Add(1)
	}
	l.accepting.Add(-1)
	l.signal()
	if err == nil {
		l.cameOut()
		return conn, nil
	}
	if (l.isClosed() || l.base().isClosed()) && !errors.Is(err, net.ErrClosed) {
		err = &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
	}
	return nil, err
}

// accept takes a connection from the kernel's queue or, when the kernel has been
// told to refuse clients, from those that were there before.
func (l *Listener) accept() (net.Conn, error) {
	if conn, err := l.fromCaught(); conn != nil || err != nil {
		return conn, err // there were no descriptors for all
	}
	if !l.stopping.Load() {
		conn, err := l.inner.Accept()
		if err == nil {
			if l.dropping.Load() {
				undoDropSYN(conn)
			}
			if l.tcp {
				l.slowest.note(conn)
			}
			return conn, nil
		}
		if !l.stopping.Load() {
			return nil, err
		}
	}
	<-l.stopped
	if conn, err := l.fromCaught(); conn != nil || err != nil {
		return conn, err
	}
	<-l.closed
	return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
}

// fromCaught returns neither a connection nor an error if there is none.
func (l *Listener) fromCaught() (net.Conn, error) {
	for {
		socket := l.caught.take()
		if socket == nil {
			return nil, nil
		}
		if conn, err := l.connOf(socket); conn != nil || err != nil {
			return conn, err
		}
	}
}

// Close closes the listener at once, without regard to its queue. It does not
// wait for Accept, and makes a Drain that is under way return. Further calls do
// nothing and return nil.
func (l *Listener) Close() error {
	_, err := l.close()
	return err
}

// Addr returns the address that the listener is bound to.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

func wrap(inner net.Listener) *Listener {
	l := &Listener{
		inner:   inner,
		moved:   make(chan struct{}, 1),
		stopped: make(chan struct{}),
		closed:  make(chan struct{}),
		drained: make(chan struct{}),
	}
	if c, ok := inner.(syscall.Conn); ok {
		// An error means that it is closed already, which Accept will say.
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
		l.caught.close()
	}
	return first, err
}

func (l *Listener) signal() {
	select {
	case l.moved <- struct{}{}:
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

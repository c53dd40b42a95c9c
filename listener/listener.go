// Package listener has a TCP and Unix listener that can be closed without
// resetting anyone.
//
// A client is connected as soon as the kernel has finished the handshake, long
// before the program has called Accept. Until then the connection waits in the
// listener's queue, often with a request already in its buffer, and closing the
// listener resets every connection there. A handshake that is only half done
// ends the same way: the client believes that it is connected, and its first
// bytes are answered with a reset. Under load a plain Close costs a few
// requests each time.
//
// [Listener.Drain] closes a listener in an order that loses none of them:
//
//  1. New handshakes are no longer begun. A client that dials now hears
//     nothing, repeats its SYN after a second, and is then refused or reaches
//     whoever listens on the port next.
//  2. Handshakes that were under way finish; Drain waits for them, for 1.5 s
//     at the most.
//  3. All connections in the queue are handed out by Accept.
//  4. The listener is closed, and Accept returns [net.ErrClosed].
//
// Without clients on slow networks all of this takes about a millisecond.
//
// # Use
//
// Any server that has an accept loop stops like this. The loop needs no change;
// what matters is to wait for it before waiting for the connections, because
// the last ones may just be leaving Accept when Drain returns.
//
//	var conns, loop sync.WaitGroup
//	loop.Go(func() {
//		for {
//			conn, err := ln.Accept()
//			if errors.Is(err, net.ErrClosed) {
//				return
//			}
//			// other errors: wait a little, try again
//			conns.Go(func() { serve(conn) })
//		}
//	})
//	...
//	err := ln.Drain(ctx) // take nothing new
//	loop.Wait()          // everything accepted is counted
//	conns.Wait()         // finish it
//
// With net/http, wait for Serve to return before calling Server.Shutdown.
//
// # Whose socket it is
//
// Step 1 changes the socket, and a socket may have several owners: the parent
// that passed it on, a systemd socket unit, a child that inherits it. So there
// are three ways to make a Listener. [Listen] makes a socket of its own and does
// all four steps. [New] takes a listener that the caller made and leaves out the
// first two. [Shared] takes one whose other owner goes on accepting; the queue is
// that owner's too, so Drain only closes this copy.
//
// # What depends on the system
//
// Step 1 is a filter on the socket that drops SYN segments, on Linux, or, where
// that needs a privilege that the program does not have, a minimal TTL that SYNs
// do not reach; a connection that was half done is then served a retransmission
// later. For a Unix socket made by Listen, on every system, it is the removal of
// the path, after which another process can bind it at once. Without
// step 1, which is to say with New, with an abstract Unix socket, for TCP on
// other systems, and in a sandbox that forbids both, step 2 is left out
// too: a handshake that is half done when the queue has been emptied is reset,
// as is one that ends in the microseconds before the listener is closed.
//
// Step 2 asks the kernel over a sock_diag netlink socket. Where a sandbox forbids
// that, it is left out.
//
// Step 3 looks into the kernel's queue. On Windows, and with a wrapper that does
// not give access to the socket (tls.NewListener, netutil.LimitListener), nobody
// can look, so the queue counts as empty when an Accept call has waited for 50
// ms and got nothing, or after a second; time in which the process stands still
// does not count. Wrap the Listener rather than what it is made from:
// tls.NewListener(ln, config) leaves Drain what it needs.
package listener

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// A Listener is a [net.Listener] with a Drain method. Listen, New and Shared
// make one. Its methods may be called by several goroutines at once.
type Listener struct {
	inner  net.Listener
	socket syscall.RawConn // nil if inner gives no access to it
	path   *socketPath     // nil if there is none that is ours to remove
	ours   bool            // nobody else has the socket: it may be changed
	shared bool            // the queue has another owner

	// Accept leaves a token here on the way in and on the way out, for Drain to
	// look again. One token is enough, because Drain looks at states.
	moved     chan struct{}
	accepting atomic.Int32 // calls inside inner.Accept
	dropping  atomic.Bool  // dropSYN may have been called

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
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	inner, err := config.Listen(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l := wrap(inner)
	l.ours = true
	l.path = pathOf(inner)
	return l, nil
}

// New takes over a listener that the caller made. Draining it changes nothing
// about the socket, which some other process may have as well: connections that
// arrive while the queue is being emptied are accepted like those before them.
//
// A *Listener is returned as it is, with the properties it was made with.
func New(ln net.Listener) *Listener {
	if l, ok := ln.(*Listener); ok {
		return l
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
	conn, err := l.inner.Accept()
	l.accepting.Add(-1)
	l.signal()
	if err == nil && l.dropping.Load() {
		undoDropSYN(conn)
	}
	if err != nil && l.isClosed() && !errors.Is(err, net.ErrClosed) {
		err = &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
	}
	return conn, err
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
	}
	return first, err
}

func (l *Listener) signal() {
	select {
	case l.moved <- struct{}{}:
	default:
	}
}

func (l *Listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// stopNew sees to it that no more clients get connected, and reports whether
// that is so; it tries only where no other owner of the socket can be hurt.
// Nothing has to undo it: the socket is ours alone, and from here on every way
// ends in closing it.
func (l *Listener) stopNew() bool {
	if !l.ours {
		return false
	}
	if l.path != nil {
		l.path.remove()
		return true
	}
	if _, ok := l.inner.(*net.TCPListener); ok {
		l.dropping.Store(true) // before any connection can inherit it
		return dropSYN(l.socket)
	}
	return false
}

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
//  1. The kernel drops new SYNs: no more handshakes begin.
//  2. Handshakes that are under way finish. That takes as long as one of the last
//     minute or two, but at least 100 us. If it may take more than a millisecond,
//     or one has been seen that does, Drain asks the kernel who is in a handshake,
//     and waits for them, for 1.5 s at the most.
//  3. The connections in the kernel's queue are taken from it, and the kernel
//     refuses everyone from then on.
//  4. Accept hands them out, and then returns [net.ErrClosed].
//
// A client that dials between steps 1 and 3 hears nothing, repeats its SYN after a
// second, and is then refused or reaches whoever listens on the port next. Without
// clients on slow networks that is a tenth of a millisecond (BenchmarkWindow),
// because steps 1 to 3 are one go on one thread.
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
// Steps 1 and 3 change the socket, and a socket may have several owners: the parent
// that passed it on, a systemd socket unit, a child that inherits it. So there
// are three ways to make a Listener. [Listen] makes a socket of its own and does
// all four steps. [New] takes a listener that the caller made: Accept empties the
// queue, while new connections come, and then the listener is closed. [Shared]
// takes one whose other owner goes on accepting; the queue is that owner's too, so
// Drain only closes this copy.
//
// # Wrappers
//
// A listener that wraps a Listener drains like that one if it is given to [New],
// which most servers of this module do by themselves, or to [Around]. This goes
// for tls.NewListener, netutil.LimitListener, go-proxyproto and cmux, among
// others. Wrapped around a listener of package net they are like any other.
//
// # What depends on the system
//
// Step 1 is a filter on the socket, on Linux, or, where that needs a privilege that
// the program does not have, a minimal TTL that SYNs do not reach; a connection
// that was half done is then served a retransmission later. Where a sandbox forbids
// both, handshakes that are half done in step 3 are reset. So they are with New,
// for TCP on other systems, and for an abstract Unix socket, as is one that ends in
// the microseconds before the listener is closed. For a Unix socket made by Listen,
// on every system, step 1 is the removal of the path, after which another process
// can bind it at once.
//
// Step 2 asks the kernel over a sock_diag netlink socket. Where a sandbox forbids
// that, it is left out.
//
// With New, Drain looks into the kernel's queue. On Windows, and with a wrapper
// that does not give access to the socket, nobody can look, so the queue counts as
// empty when an Accept call has waited for 50 ms and got nothing, or after a
// second; time in which the process stands still does not count. Wrap the Listener
// rather than what it is made from: tls.NewListener(ln, config) leaves Drain what
// it needs.
package listener

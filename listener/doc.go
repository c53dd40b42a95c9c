// Package listener provides a TCP and Unix socket listener that can be closed
// without losing connections.
//
// A client is connected as soon as the kernel has completed the handshake, before
// the program calls Accept. Until then the connection waits in the listener's accept
// queue, often with a request already in its receive buffer. Closing the listener
// resets every connection in that queue. It also resets every client whose handshake
// is half done. Under load, a plain Close loses a few requests each time.
//
// [Listener.Drain] closes a listener without these losses. It works with any server
// that has an accept loop:
//
//	var conns, loop sync.WaitGroup
//	loop.Go(func() {
//		for {
//			conn, err := ln.Accept()
//			if errors.Is(err, net.ErrClosed) {
//				return
//			}
//			if err != nil {
//				time.Sleep(10 * time.Millisecond) // for example, too many open files
//				continue
//			}
//			conns.Go(func() { serve(conn) })
//		}
//	})
//	...
//	err := ln.Drain(ctx) // stop accepting
//	loop.Wait()          // all accepted connections are in conns
//	conns.Wait()         // finish them
//
// Wait for the accept loop first: Drain may return while Accept is still returning
// the last connection. With net/http, wait for Serve to return before calling
// Server.Shutdown. Packages httpserver and grpcserver do this.
//
// # Order of events
//
// Drain closes a listener made by [Listen] in four steps:
//
//  1. The kernel refuses new clients, as it does when nothing listens on the port.
//  2. Handshakes in progress complete. Drain asks the kernel for the list of handshakes
//     and waits for them, for up to 1.5 s.
//  3. Accept returns the connections in the accept queue.
//  4. The socket is closed, and Accept returns [net.ErrClosed].
//
// So no client waits for an answer, however long steps 2 and 3 take. (A SYN that arrives in
// the very microsecond of step 1 may be dropped. While 32 clients dialled without pause, that
// happened to five in 1,600 drains.) The port stays in use until step 4.
//
// # Sockets with several owners
//
// Step 1 changes the socket, which may have other owners: a parent process, a
// systemd socket unit, or a child process that inherited it. There are therefore
// three kinds of Listener:
//
//   - [Listen] and [ListenWith] create a socket of their own. Draining takes all four
//     steps.
//   - [New] takes a listener that the caller created. Draining accepts connections
//     until the queue is empty, and then closes the listener.
//   - [Shared] takes a listener whose other owner goes on accepting. The connections
//     in the queue are left to that owner, so draining only closes this copy.
//
// # Wrapped listeners
//
// [New] and [Around] make a listener that wraps a Listener drain like that Listener.
// Examples are tls.NewListener, netutil.LimitListener, go-proxyproto and cmux. Wrap the
// Listener rather than the listener of package net: a wrapper around the latter hides
// the socket that Drain needs.
//
// # Platforms
//
// Step 1 needs Linux. It binds the socket to a network interface that does not exist
// (SO_BINDTOIFINDEX). Without CAP_NET_RAW, that fails before Linux 5.7, and for a socket
// that is bound to an interface already, such as one for a link-local address. Then step 1
// drops SYNs: it attaches a filter to the socket, or, without the privilege for that, sets a
// minimum TTL that no SYN reaches; a connection whose handshake was in progress then receives
// its data only when the client retransmits it.
//
// A client whose SYN is dropped repeats it after one second. It is then refused or connects
// to what listens on the port by then. If the drain still goes on, its SYN is dropped again.
// With 32 clients that dial without pause, some 20 of them have to wait (BenchmarkDrain).
//
// With SO_REUSEPORT, while other sockets listen on the port, the kernel goes on choosing this
// socket for its share of the SYNs, and drops them in step 1. The others serve their share.
//
// Where a sandbox forbids all of these, handshakes in progress at step 4 are reset. They
// are also reset with New, for TCP on other systems, and for an abstract Unix socket; with
// these, so is a connection that completes in the microseconds before the listener is
// closed. For a Unix socket made by Listen, step 1 removes the path, on every system.
// Another process can bind it at once.
//
// Step 2 uses a sock_diag netlink socket. Where a sandbox forbids that, or no file
// descriptor is free, Drain gives handshakes 500 ms. With SYN cookies, as in a SYN flood, the
// kernel itself does not know of a handshake. It resets those that are in progress at step 1.
//
// With New, Drain asks the kernel whether the queue is empty. It cannot ask on
// Windows, or if a wrapper hides the socket. It then treats the queue as empty when
// Accept has waited for 50 ms without a connection, or after 1 s. Time in which the
// process does not run is not counted.
package listener

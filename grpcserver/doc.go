// Package grpcserver implements graceful shutdown for gRPC servers. It finishes the
// RPCs in flight, drains the connections, and reports the RPCs that had to be cut off.
//
//	srv := grpcserver.NewServer(m)
//	pb.RegisterChatServer(srv, chat)
//	err := srv.Start(":9000")
//
// [NewServer] makes a grpc.Server with [Options]. [Adopt] takes one that a framework
// has made with these options.
//
// # Order of events
//
// In Leave, the health service reports NOT_SERVING if it was passed to [Health]. The
// server goes on serving. Clients that neither watch the health service nor follow the
// endpoints of their service go on calling until Drain, and then all reconnect at
// once. To spread the reconnects, set
// keepalive.ServerParameters.MaxConnectionAge: clients then reconnect one after another
// at all times. With an age that is not much longer than the lame duck, many have moved
// to other instances by the start of Drain.
//
// In Drain:
//
//  1. Streams that ask about the server itself end, such as health watches and
//     reflection. See [Options].
//  2. The server waits for the channels given to [Server.DrainAfter]. Then the listeners
//     are drained: new clients are refused, and connections whose handshake has begun
//     are accepted. See package listener.
//  3. HTTP/2 and TLS handshakes complete. Connections made within the last 10 s have
//     time for their first RPC. When none of these connections has made progress for
//     250 ms, or after 1 s, those that have not sent a byte are closed, and those
//     without an RPC are no longer waited for. A handshake that stops is closed after
//     500 ms. Otherwise a port scan would block GracefulStop, and Stop too, for 120 s,
//     which is grpc.ConnectionTimeout. On a machine that is short of CPU these times are
//     longer.
//  4. GracefulStop sends a GOAWAY on every connection and waits for the RPCs in flight.
//  5. Shortly before the end of Drain, when [shutdown.Manager.WorkContext] ends, the
//     contexts of the RPCs are cancelled. A handler that returns because of that is
//     answered Unavailable. After half of the remaining time, Stop closes the
//     connections. This ends handlers that are blocked in Recv or Send, which do not
//     depend on the handler's context; their clients get Unavailable too.
//     Connections that Stop has not closed by the end of Drain, because a handshake
//     blocks it, are closed without it.
//  6. Close hooks run when all handlers have returned. A handler that is still running
//     at the end of Drain is abandoned and reported by name.
//
// GracefulStop waits up to 6 s for a client that does not answer its PING, because it
// is suspended or its network has failed.
//
// # Long streams
//
// A long stream delays the drain until its context ends, and is then cut off and
// reported. So its handler should end it when Drain starts. It is best to ask the client
// to end the stream, because then nothing is lost that the client sends meanwhile. A hook
// can tell all handlers; examples/grpc is a complete program:
//
//	m.On(shutdown.Drain, "chat room", func(context.Context) error {
//		close(room.closing) // each handler asks its client to leave, and receives until io.EOF
//		return nil
//	})
//
// A handler can also get the Manager from its context with [shutdown.FromContext], and
// wait for m.Reached(shutdown.Drain). The end of m.AcceptContext() is too early if there is
// a lame duck: a client that reconnects at once may reach the same instance.
//
// # Servers that call each other
//
// If handlers of an HTTP gateway or of another gRPC server in the same process call this
// server, it has to drain after that one. This applies to TCP, Unix sockets and bufconn:
//
//	srv.DrainAfter(gateway.Drained())
//
// # Listeners
//
// [Server.Start] listens on a TCP address, and [Server.Serve] takes any listener. A
// server may have several. Create a Unix socket with listener.Listen: draining it removes
// its path, so that another process can bind it at once, and accepts every connection in
// its queue. A bufconn.Listener, or another one without a socket, cannot be asked for its
// queue. Draining it takes until it has returned no connection for 50 ms, or 1 s.
//
// # Behind net/http
//
// A grpc.Server whose ServeHTTP is called under package httpserver is made with
// [NewServer] and not started: httpserver drains it. Each RPC is a request, named
// "POST /pkg.Service/Method", and is not counted twice. net/http sends the GOAWAY; see
// httpserver for the limits of HTTP/2. At the end of Drain, RPCs are cut off instead of
// being answered Unavailable.
//
// If the same grpc.Server also has its own port, it has to drain after the http.Server
// ([Server.DrainAfter]), because GracefulStop cuts off the RPCs of ServeHTTP. Without a
// listener its Drained channel is never closed; use that of the http.Server.
//
// # Limits
//
// A client that has connected, and is then delayed for longer than step 3 waits before
// it sends its first RPC, has to reconnect. gRPC does that. If no other server listens,
// the RPC fails with Unavailable.
//
// # Differences from grpc.Server.Serve
//
// The TCP_USER_TIMEOUT of the socket is 20 s, gRPC's default, even if
// keepalive.ServerParameters.Timeout is different. That value then applies only to the
// pings.
//
// ServerHandshake of credentials gets a connection that wraps the one from the listener.
// Credentials that need a *net.UnixConn, or another type from the listener, find it with
// a method NetConn() net.Conn, as *tls.Conn has it. Use the returned connection only to
// inspect the socket. Read, write and close the connection that was passed to
// ServerHandshake.
package grpcserver

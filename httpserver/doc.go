// Package httpserver implements graceful shutdown for net/http servers. It answers
// every request in flight, drains the connections without losing requests that are on
// their way, and reports the requests that had to be cut off.
//
//	s, err := httpserver.Start(m, &http.Server{Addr: ":8080", Handler: mux})
//
// [Start] listens on an address, [StartTLS] does so with certificate files, and
// [Serve] takes a listener. [Middleware] tracks the requests of a server that is started
// in another way. [SetName] names a request for routers other than http.ServeMux, and
// [Untrack] excludes a request from what the shutdown waits for.
//
// # Order of events
//
// In Leave, during the lame duck, the server goes on serving. A growing share of its
// responses has "Connection: close", so that clients reconnect to other instances, but
// not all at once. On HTTP/2, net/http turns that header into a GOAWAY frame.
//
// In Drain, every response has "Connection: close".
//
//  1. The server waits for the channels given to [Server.DrainAfter].
//  2. The listener is drained: new clients are refused, and connections whose handshake
//     has begun are accepted. See package listener. If that takes longer than 100 ms, for
//     example because netutil.LimitListener has reached its limit, step 3 starts
//     meanwhile.
//  3. Connections without a request are closed after a linger, because a request may be
//     arriving on them. The linger ends when no idle connection has started a request
//     for 50 ms, or after 1 s. A connection that has sent part of a request or of a TLS
//     handshake is closed 500 ms after its last byte, or after 1 s. On HTTP/2, a GOAWAY
//     is sent first. On a machine that is short of CPU these times are longer.
//  4. http.Server.Shutdown is called. It runs the functions given to
//     RegisterOnShutdown, and does not wait for them. It would drop requests that are on
//     their way (golang/go#75591), so it is called when no connection is new or idle,
//     all responses in progress have "Connection: close", and every HTTP/2 connection was
//     sent a GOAWAY 500 ms ago, or will be sent that of net/http. Responses without that
//     header do not delay it if none of them has ended for 1.5 s. At the end of
//     WorkContext it is called in any case.
//  5. The drain ends when the last connection has closed and the handler of the last
//     hijacked connection has returned. Connections that have only untracked requests
//     are closed then.
//  6. Shortly before the end of Drain, when [shutdown.Manager.WorkContext] ends, the
//     contexts of all requests are cancelled. Handlers then have time to answer 503.
//     At the end of Drain, the remaining connections are closed. In a forced end they are
//     closed as soon as the contexts are cancelled, so the answers may not arrive.
//
// In Close, before the hooks that were registered earlier, hijacked connections that
// are still open are closed.
//
// # WebSockets and streams
//
// A WebSocket or an SSE stream delays the drain until its handler returns. At the end
// of WorkContext it is cut off and reported. So its handler should end it when Drain
// starts, which [shutdown.Manager.Reached](shutdown.Drain) tells. The start of the
// shutdown is too early: during the lame duck, a client that reconnects at once may
// reach the same instance. Do not use RegisterOnShutdown for this: if an HTTP/1.1
// stream is open, its functions run only after 1.5 s, and with HTTP/2 only at the end of
// WorkContext.
//
// One hook can end all WebSockets:
//
//	closing, closeWebSockets := context.WithCancel(context.Background())
//	m.On(shutdown.Drain, "WebSockets", func(context.Context) error {
//		closeWebSockets()
//		return nil
//	})
//
// A handler that uses github.com/gorilla/websocket then reads until the client has
// closed, so that no message of the client is lost:
//
//	conn, err := upgrader.Upgrade(w, r, nil)
//	if err != nil {
//		return
//	}
//	defer conn.Close()
//	defer context.AfterFunc(r.Context(), func() { conn.Close() })() // no time is left
//	defer context.AfterFunc(closing, func() {
//		time.Sleep(rand.N(time.Second)) // thousands of clients should not reconnect at once
//		text := websocket.FormatCloseMessage(websocket.CloseGoingAway, "")
//		conn.WriteControl(websocket.CloseMessage, text, time.Now().Add(time.Second))
//		conn.NetConn().SetReadDeadline(time.Now().Add(5 * time.Second)) // a client that is gone does not answer
//	})()
//	for {
//		_, message, err := conn.ReadMessage()
//		if err != nil {
//			return
//		}
//		...
//	}
//
// With github.com/coder/websocket, whose Close may discard messages that the client
// sends meanwhile, it is:
//
//	conn, err := websocket.Accept(w, r, nil)
//	if err != nil {
//		return
//	}
//	defer conn.CloseNow()
//	defer context.AfterFunc(closing, func() {
//		time.Sleep(rand.N(time.Second))
//		conn.Close(websocket.StatusGoingAway, "") // waits up to 5 s for the client to close
//	})()
//	for {
//		_, message, err := conn.Read(r.Context())
//		...
//
// A WebSocket that httputil.ReverseProxy forwards ends with the context of its request.
// Both sides are then closed without a close frame, and messages on their way are lost:
//
//	if r.Header.Get("Upgrade") != "" {
//		ctx, cancel := context.WithCancel(r.Context())
//		defer cancel()
//		defer context.AfterFunc(closing, cancel)()
//		r = r.WithContext(ctx)
//	}
//	proxy.ServeHTTP(w, r)
//
// An EventSource reconnects by itself when an SSE handler returns. The handler can
// spread the reconnects with its last message:
//
//	for {
//		select {
//		case event := <-events:
//			...
//		case <-m.Reached(shutdown.Drain):
//			fmt.Fprintf(w, "retry: %d\n\n", rand.N(1000)) // milliseconds
//			return
//		case <-r.Context().Done():
//			return
//		}
//	}
//
// # Hijacked connections
//
// The drain, and so [Server.Drained], waits for a hijacked connection until its handler
// returns. A handler that leaves the connection to another goroutine has to call
// [shutdown.Manager.Track] for that goroutine. Such a connection is closed in Close if it
// is a *net.TCPConn, *net.UnixConn or *tls.Conn. Its owner has to close any other.
//
// # http.TimeoutHandler
//
// http.TimeoutHandler runs its handler on a goroutine of its own, which goes on after the
// timeout if it ignores its context. The drain waits for the response with status 503, and
// not for that goroutine, so a Close hook may close the database that it uses. Such a
// handler has to call [shutdown.Manager.Track]:
//
//	done, ok := m.Track("GET /report")
//	if !ok {
//		return
//	}
//	defer done()
//
// # Servers that call each other
//
// A server that is called by the handlers of another server of the same process has to
// drain after that one:
//
//	inner.DrainAfter(outer.Drained())
//
// A server that calls itself cannot be ordered like this. During its drain, such a call
// is answered on a connection that is still open, but a new connection is refused. Call
// the handler directly, or start a second server for these calls, on a loopback
// address, that drains after the first.
//
// # Limits
//
// A client that sends a request on an idle connection in the moment in which the server
// closes it loses the request, as with any HTTP server. On a local network that moment
// is microseconds long, and the lame duck makes such connections rare. On systems other
// than Linux, the server cannot tell whether an HTTP/1 client has sent part of a
// request: a client that pauses for 50 ms within a header may be cut off.
//
// A client that dials while the listener is drained is refused at once, on Linux 5.7 or
// later. Package listener has the cases in which its SYN is dropped instead, so that it
// waits for a second.
//
// A response whose header was written before the shutdown started cannot have
// "Connection: close". Its connection lingers as in step 3, and a request pipelined
// behind it is answered. A request pipelined behind a response with "Connection: close"
// is not answered (RFC 9112, section 9.6), nor is one after the end of WorkContext. The
// server has not read it, so it is not in any report.
//
// On HTTP/2, net/http's own GOAWAY discards requests that the client sends before it
// has read the frame. So the server first sends a GOAWAY that discards none (RFC 9113,
// section 6.8), and 500 ms later net/http's. It holds the responses that are ready until
// the others have ended and nothing has been sent for 5 to 25 ms, for 100 ms at most. In
// TLS, where frames cannot be seen, it holds them for longer if the others go on: until
// nothing at all has been sent for 100 ms. If something is sent all the time for two
// seconds, only net/http's GOAWAY is sent, and the client may lose the requests that it
// sends within one network round trip. The same happens if the client does not read. No
// GOAWAY precedes the end of a cleartext connection that has had no request, or of a
// connection whose listener does TLS itself or returns its own type of connection.
//
// # Response writers
//
// The http.ResponseWriter of a handler is a wrapper, because the header for
// "Connection: close" is set when the response header is written. It has the same
// optional interfaces as net/http's, including the one for sendfile, and works with
// http.ResponseController. There are three differences. Deadlines and EnableFullDuplex
// need http.ResponseController instead of a type assertion. On HTTP/3, the
// ResponseWriter is the server's own; see [Middleware]. And http.MaxBytesReader cannot
// tell net/http that a body was too large, so on HTTP/1 the wrapper sets
// "Connection: close" on every response with status 413. With another status, net/http
// first reads on for a while, which delays the response. So answer with 413.
//
// # golang.org/x/net/http2/h2c
//
// For h2c.NewHandler, a whole connection is a single request. The requests on it have no
// name in reports, and its clients are not asked to reconnect. Requests in flight are
// waited for, and idle connections do not delay the drain. A warning in the log names
// the replacement: http.Server.Protocols with SetUnencryptedHTTP2(true).
package httpserver

// Package httpserver implements graceful shutdown for net/http: it answers every
// request that has reached the machine, drains the connections, and reports the
// requests that had to be cut off.
//
//	s, err := httpserver.Start(m, &http.Server{Addr: ":8080", Handler: mux})
//
// [Start] listens on an address, [StartTLS] does so with certificates in files, and
// [Serve] takes a listener. [Middleware] is for servers that something else starts.
// [SetName] names a request for routers other than http.ServeMux; [Untrack] is for
// requests that the shutdown should not wait for.
//
// # Order of events
//
// In Leave, while the lame duck lasts, the server goes on serving. A growing share of
// its responses carries "Connection: close", so that clients reconnect elsewhere, but
// not all at once. On HTTP/2 that header becomes a GOAWAY.
//
// In Drain, every response carries "Connection: close".
//
//  1. The server waits for the channels that [Server.DrainAfter] was given.
//  2. The listener is drained, in one go where the system allows it: the kernel
//     drops new SYNs, connections that have completed their handshake are accepted,
//     and all others are refused. See package listener. If this takes longer than
//     100 ms, because netutil.LimitListener is at its limit for example, step 3
//     begins meanwhile.
//  3. Connections without a request are closed after a short linger, because a
//     request may be arriving on them. It ends when for 50 ms no idle connection has
//     begun to send one, or after 1 s. A connection that has sent a part of a
//     request, or of a TLS handshake, has until 500 ms after its last byte, and 1 s
//     in all. These times are counted in wake-ups, so on a machine without CPU to
//     spare they are longer. A connection is checked for bytes that have arrived and
//     ended in one step. On Linux it is not ended either while its last answer is on
//     its way to the client, unless that makes no progress for 1 s. On HTTP/2 a
//     GOAWAY comes first, except on a cleartext connection that has had no request,
//     and on connections of a listener that does TLS itself or returns a type of its
//     own, because writes on them are not counted.
//  4. http.Server.Shutdown is called once, with a context that has ended, so that it
//     waits for nothing. It runs the functions given to RegisterOnShutdown. It is
//     called when no connection is new or idle, and when no request can be lost by it:
//     all responses in progress carry "Connection: close", or those that do not are
//     long, which is to say that none of them has ended for 1.5 s; and every HTTP/2
//     connection has been sent a GOAWAY. Called earlier, Shutdown would drop requests
//     that are on their way: golang/go#75591.
//  5. The drain ends when the last connection has closed and the handler of the last
//     hijacked connection has returned. Nothing polls for that. Connections on which
//     only requests are left that [Untrack] was called for are closed then.
//  6. Shortly before the end of Drain, with [shutdown.Manager.WorkContext], the
//     contexts of all requests are cancelled, so that a handler still has time to
//     answer 503. Step 4 happens then if it has not happened before. At the end of
//     Drain's time the connections are closed.
//
// In Close, hijacked connections that are still open are closed, before the Close
// hooks that were registered earlier run.
//
// # What has to end sooner
//
// Use [shutdown.Manager.Reached](shutdown.Drain) for whatever has to end when Drain
// begins. Functions given to RegisterOnShutdown run in every shutdown, but not before
// step 4, which is 1.5 s later if an HTTP/1.1 stream is open, and at the end of
// WorkContext if one is on HTTP/2; and they are not waited for.
//
// A WebSocket or an SSE stream holds the drain up until its handler returns; the log
// names it, and at the end of Drain it is cut off. So the server has to say good-bye
// when Drain begins. During the lame duck that is too early: a client that reconnects
// at once may reach the same instance. One hook is enough for all WebSockets:
//
//	leave, sayGoodBye := context.WithCancel(context.Background())
//	m.On(shutdown.Drain, "WebSockets", func(context.Context) error {
//		sayGoodBye()
//		return nil
//	})
//
// A handler that uses github.com/gorilla/websocket then reads until the client has
// closed, so that nothing that the client has sent is lost:
//
//	conn, err := upgrader.Upgrade(w, r, nil)
//	if err != nil {
//		return
//	}
//	defer conn.Close()
//	defer context.AfterFunc(r.Context(), func() { conn.Close() })() // no time is left
//	defer context.AfterFunc(leave, func() {
//		time.Sleep(rand.N(time.Second)) // thousands of clients should not reconnect at once
//		text := websocket.FormatCloseMessage(websocket.CloseGoingAway, "")
//		conn.WriteControl(websocket.CloseMessage, text, time.Now().Add(time.Second))
//	})()
//	for {
//		_, message, err := conn.ReadMessage()
//		if err != nil {
//			return
//		}
//		...
//	}
//
// With github.com/coder/websocket it is
//
//	conn, err := websocket.Accept(w, r, nil)
//	if err != nil {
//		return
//	}
//	defer conn.CloseNow()
//	defer context.AfterFunc(leave, func() {
//		time.Sleep(rand.N(time.Second))
//		conn.Close(websocket.StatusGoingAway, "") // waits up to 5 s for the client to close
//	})()
//	for {
//		_, message, err := conn.Read(r.Context())
//		...
//
// whose Close may discard messages that the client sends meanwhile.
//
// A client that uses EventSource reconnects by itself when an SSE handler returns.
// The last thing that the handler writes can spread that:
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
// returns. A handler that returns and leaves the connection to another goroutine has to
// count that with [shutdown.Manager.Track]. Of such connections those of the types
// *net.TCPConn, *net.UnixConn and *tls.Conn are closed in Close; others nobody closes
// but their owner.
//
// # Servers that call each other
//
// If handlers call another server of the same process, that one has to drain after
// theirs:
//
//	inner.DrainAfter(outer.Drained())
//
// A server whose handlers call the server itself cannot be put in order. While it
// drains, such a call is answered if it is sent on a connection that is still open; if
// it needs a new one, it is refused. Call the handler directly, or start a second
// server for these calls, on a loopback address, that drains after the first.
//
// # What remains
//
// A client that sends a request on an idle connection at the very moment at which the
// server closes it loses the request, as with any HTTP server. On a local network that
// moment is microseconds, and the ramp of the lame duck makes such connections rare.
// What a connection without HTTP/2 has sent of a request only Linux tells: on other
// systems a client that pauses for 50 ms in the middle of a header may be cut off.
//
// A client that dials while the listener is drained is refused, but for about a tenth
// of a millisecond in which its SYN is dropped: it repeats that after a second, and is
// then refused. With clients on slow networks the time is longer; see package listener.
//
// A response whose header was written before the shutdown began cannot ask the client
// to close: its connection gets the linger of step 3. A request that is pipelined
// behind such a response is answered as long as there is time. It is not after the end
// of WorkContext, nor behind a response that carries "Connection: close", which is the
// last one on its connection (RFC 9112, section 9.6); the server has not read it, so
// no report names it.
//
// On HTTP/2, net/http's GOAWAY names the highest stream that it has seen, and requests
// that the client sends before it has read that are discarded. So the server sends
// another GOAWAY first that names no limit (RFC 9113, section 6.8): the client sends
// nothing new on the connection, and what is on its way is answered. This is possible
// only while nothing is being written. Therefore the answers on a connection that is
// about to close are held until all of them are ready and nothing has moved for 5 to
// 25 ms. If that does not happen within 100 ms, because one stream is a long answer,
// or because the client never pauses or does not read, there is only net/http's GOAWAY,
// and the client loses the requests that it sends within a network round trip.
//
// # Response writers
//
// The http.ResponseWriter of a handler is a wrapper, because whether a response asks
// the client to close is decided when its header is written. It has the optional
// interfaces that net/http's has, sendfile included, and http.ResponseController works.
// Three things are different. http.MaxBytesReader tells net/http's ResponseWriter by a
// private method, which no wrapper has, that the body was too large. So on HTTP/1 the
// wrapper sets "Connection: close" itself if the status is 413, whoever sets it. With
// another status net/http does what it does with any body that was not read to its end:
// it first reads on for a while, which delays the answer; so answer 413. Deadlines and
// EnableFullDuplex are to be had from http.ResponseController, and not by a type
// assertion. On HTTP/3 the ResponseWriter is the server's
// own: see [Middleware].
//
// # h2c of golang.org/x/net
//
// To golang.org/x/net/http2/h2c.NewHandler a whole connection is one request. Its
// requests are not named, and its clients are not asked to leave. Its idle connections
// do not hold the drain up, and its requests in flight are waited for. A warning in the
// log says how to replace it: set http.Server.Protocols, with
// Protocols.SetUnencryptedHTTP2(true).
package httpserver

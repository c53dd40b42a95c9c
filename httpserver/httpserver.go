// Package httpserver serves net/http so that nobody notices when it ends: every
// request that reached the machine is answered.
//
//	err := httpserver.Start(m, &http.Server{Addr: ":8080", Handler: mux})
//
// # Order of events
//
// In Leave, while the lame duck lasts, the server serves on. A growing share of
// its responses carries "Connection: close", so that clients come back
// elsewhere, but not all at once. On HTTP/2 that header becomes a GOAWAY.
//
// In Drain:
//
//  1. The listener stops the handshakes, hands out every connection that had
//     completed one, and is closed. See package listener.
//  2. Every response carries "Connection: close".
//  3. Connections without a request are closed after a short linger, which
//     waits for the clients that are about to speak: 50 ms in which no silent
//     connection anywhere began to speak, or 1 s. One that has sent half a
//     request, or half a TLS handshake, has until 500 ms after its last byte,
//     and 1 s in all. On a machine without CPU to spare all of this takes longer, because
//     it is counted in wake-ups. A connection is looked at for bytes that have
//     arrived, and ended, in one step. On HTTP/2 a GOAWAY comes first, unless
//     there has been no request on cleartext, or the caller's own listener
//     does TLS, or makes connections of a kind of its own, on which writes are
//     not counted.
//  4. When the last connection has closed, which is an event and not the next
//     look of a poll, http.Server.Shutdown finds nothing left to do. Before
//     that it would drop requests that are on their way: golang/go#75591.
//  5. Shortly before the end of Drain, with [shutdown.Manager.WorkContext], the
//     contexts of all requests are cancelled, so that a handler still has time
//     to answer 503. At the end of Drain's time the connections are closed.
//
// # What remains
//
// A client that sends a request on a connection that was idle, in the very
// moment in which it is closed, loses it, as with any HTTP server: on a local
// network the moment is microseconds, and the ramp of the lame duck makes such
// connections rare.
//
// On HTTP/2, net/http's GOAWAY names the highest stream that it has seen; what
// a client sends before it has read that is discarded. So the server sends one
// before it that names none (RFC 9113, section 6.8): the client sends nothing
// new on the connection, and what is on its way is answered. That is possible
// while nothing is being written. Therefore the answers on a connection that is
// to leave are held until all of them are ready and nothing has moved for 5 to
// 25 ms. If that is not so within 100 ms, because one stream is a long answer,
// or the client never pauses or does not read, net/http's GOAWAY has to do, and
// costs such a client the requests that it sends within a network round trip.
//
// A response whose header was written before the shutdown began cannot ask the
// client to leave: its connection gets the linger of step 3.
//
// # Hijacked connections
//
// A hijacked connection (a WebSocket) is waited for as long as its handler
// runs. A handler that returns and leaves the connection to another goroutine
// has to count that with [shutdown.Manager.Track]. Functions given to
// http.Server.RegisterOnShutdown run at step 4; to say good-bye earlier, use
// the Manager's AcceptContext.
package httpserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/listener"
)

// Start listens on srv.Addr and serves until the shutdown of m has drained the
// server. It returns when the port is open, or with an error if it cannot be;
// a busy port is an error at once. It serves TLS if srv.TLSConfig has
// certificates. If serving fails later, that begins the shutdown.
//
// Start takes srv over: Handler, BaseContext, ConnContext and ConnState are
// wrapped, and go on working; net.Conn values reach the latter two as they came
// from the listener. (What NetConn of a *tls.Conn returns embeds it.) Set them
// before, and leave Shutdown and Close to m; a Server has one listener. Each
// request is tracked under its method and pattern if srv.Handler is a
// http.ServeMux, else under its method and path; its context carries m and ends with
// [shutdown.Manager.WorkContext].
//
// After the shutdown has begun, Start returns an error and listens on nothing.
func Start(m *shutdown.Manager, srv *http.Server) error {
	addr := srv.Addr
	switch {
	case addr != "":
	case hasCertificates(srv):
		addr = ":https"
	default:
		addr = ":http"
	}
	if err := begun(m); err != nil {
		return fmt.Errorf("httpserver: listen on %s: %w", addr, err)
	}
	ln, err := listener.Listen(m.AcceptContext(), "tcp", addr)
	if err != nil {
		return fmt.Errorf("httpserver: %w", err)
	}
	return StartListener(m, srv, ln)
}

// StartListener is Start for a listener that exists already: one from package
// listener, which can be drained without resetting anyone, or any other, which
// is drained as well as [listener.New] can. It takes ln over, and closes it
// also if it returns an error.
func StartListener(m *shutdown.Manager, srv *http.Server, ln net.Listener) error {
	if err := begun(m); err != nil {
		_ = ln.Close() // the other error matters
		return fmt.Errorf("httpserver: serve on %s: %w", ln.Addr(), err)
	}
	if _, ok := srv.Handler.(tracked); ok {
		_ = ln.Close()
		return fmt.Errorf("httpserver: serve on %s: this http.Server has been started before; a listener needs a Server of its own", ln.Addr())
	}
	l := listener.New(ln)
	s := &server{m: m, srv: srv, ln: l, served: make(chan struct{}), drained: make(chan struct{}), closing: closing{m: m}}
	s.wrap()
	serve, name := srv.Serve, "http "
	// What crypto/tls has made speaks TLS already.
	if hasCertificates(srv) && reflect.TypeOf(ln) != reflect.TypeOf(tls.NewListener(nil, nil)) {
		serve, name = func(l net.Listener) error { return srv.ServeTLS(l, "", "") }, "https "
	}
	name += ln.Addr().String()
	servers.Store(srv, s)

	// From here on a shutdown drains the server, also one that begins now.
	m.On(shutdown.Drain, name, s.drain)
	go func() {
		defer close(s.served)
		err := serve(accepter{l, &s.conns})
		// ServeTLS leaves it open if the certificates are wrong. A Close that came
		// after Begin would interrupt the drain, which is an error.
		_ = l.Close()
		if !s.draining.Load() && !errors.Is(err, http.ErrServerClosed) {
			m.Begin(fmt.Errorf("httpserver: serve %s: %w", name, err))
		}
	}()
	return nil
}

// A server is an http.Server and what it takes to end it.
type server struct {
	m        *shutdown.Manager
	srv      *http.Server
	ln       *listener.Listener
	closing  closing
	conns    conns
	served   chan struct{} // closed when Serve has returned
	drained  chan struct{} // closed when drain has returned
	draining atomic.Bool
	endWork  atomic.Pointer[context.CancelCauseFunc] // for the contexts of all requests; nil before Serve
}

// servers are those that serve or drain, by their *http.Server.
var servers sync.Map

// Drained returns a channel that is closed when srv has drained, or has been cut
// off by the end of Drain. It is closed already if srv has not been started, for
// there is nothing to wait for. It is for what srv's handlers need and has a
// Drain hook of its own: the hook begins by waiting for this. Ask in the hook;
// before the shutdown begins srv may still be started.
func Drained(srv *http.Server) <-chan struct{} {
	if s, ok := servers.Load(srv); ok {
		return s.(*server).drained
	}
	closed := make(chan struct{})
	close(closed)
	return closed
}

func begun(m *shutdown.Manager) error {
	if m.Phase() == shutdown.Running {
		return nil
	}
	<-m.AcceptContext().Done() // it is about to be
	return fmt.Errorf("the shutdown has begun: %w", context.Cause(m.AcceptContext()))
}

func hasCertificates(srv *http.Server) bool {
	c := srv.TLSConfig
	return c != nil && (len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil)
}

// wrap puts our functions around those of the http.Server.
func (s *server) wrap() {
	next := s.srv.Handler
	if next == nil {
		next = http.DefaultServeMux
	}
	s.srv.Handler = track(s.m, next, &s.closing)

	base := s.srv.BaseContext
	s.srv.BaseContext = func(ln net.Listener) context.Context {
		ctx := context.Background()
		if base != nil {
			if a, ok := ln.(accepter); ok {
				ln = a.Listener
			}
			ctx = base(ln)
		}
		ctx, cancel := context.WithCancelCause(context.WithValue(shutdown.NewContext(ctx, s.m), trackedKey{}, s.m))
		s.endWork.Store(&cancel)
		// WorkContext ends in every shutdown, so nothing is left behind here.
		context.AfterFunc(s.m.WorkContext(), func() { cancel(context.Cause(s.m.WorkContext())) })
		return ctx
	}

	connContext := s.srv.ConnContext
	s.srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, bare(c))
		}
		return context.WithValue(ctx, connKey{}, s.conns.find(c))
	}

	connState := s.srv.ConnState
	s.srv.ConnState = func(c net.Conn, state http.ConnState) {
		if connState != nil {
			connState(bare(c), state)
		}
		s.conns.changed(c, state)
	}
}

// drain is the hook. The order is that of the package's documentation.
func (s *server) drain(ctx context.Context) error {
	defer func() {
		close(s.drained)
		servers.Delete(s.srv)
	}()
	s.draining.Store(true)
	err := s.ln.Drain(ctx)
	// Serve has to be back: only then is every connection that was handed out
	// known to net/http.
	select {
	case <-s.served:
	case <-ctx.Done():
	}
	if cut := s.conns.drain(ctx); cut > 0 {
		err = errors.Join(err, fmt.Errorf("%s cut off: %w", connections(cut), context.Cause(ctx)))
	} else {
		err = errors.Join(err, s.shutdown(ctx))
	}
	if err != nil {
		// WorkContext may just have ended, or be about to. What it ends, ends
		// before the connections do: their end would be another cause.
		if endWork := s.endWork.Load(); endWork != nil && ctx.Err() != nil {
			(*endWork)(cmp.Or(context.Cause(s.m.WorkContext()), context.Cause(ctx)))
		}
		_ = s.srv.Close() // there is no better error to be had than the one that led here
		<-s.served
	}
	return err
}

// shutdown has nothing to wait for but an HTTP/2 connection that slipped in behind
// http.Server.Shutdown's own look (golang/go#81153), so the context bounds it. Its
// error is the cause of the context's end: ErrTimeout or ErrForced.
func (s *server) shutdown(ctx context.Context) error {
	err := s.srv.Shutdown(ctx)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("wait for http.Server.Shutdown: %w", context.Cause(ctx))
	}
	return err
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", n)
}

// closing decides whether a response asks the client to leave.
type closing struct {
	m     *shutdown.Manager
	once  sync.Once
	begun time.Time
	ramp  time.Duration // 0 is all at once
}

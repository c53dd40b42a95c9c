package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/listener"
)

// A Server is an http.Server that its Manager drains in the shutdown. Start, StartTLS
// and Serve return one. Its methods may be called by several goroutines at once.
type Server struct {
	m       *shutdown.Manager
	srv     *http.Server
	name    string // of its hook
	ln      *listener.Listener
	closing connectionClose
	conns   conns

	mu         sync.Mutex // protects drainAfter
	drainAfter []<-chan struct{}

	served         chan struct{} // closed when Serve has returned
	drained        chan struct{} // closed when drain has returned
	draining       atomic.Bool
	shutdownOnce   sync.Once
	shutdownCalled chan struct{}                           // closed when http.Server.Shutdown has returned
	cancelRequests atomic.Pointer[context.CancelCauseFunc] // cancels all contexts; nil before Serve
}

// Start listens on srv.Addr and serves until the shutdown of m has drained the server.
// It does not block: it returns when the port is open, or with an error if it cannot be
// opened. If serving fails later, that starts the shutdown.
//
// Start serves TLS if srv.TLSConfig has certificates. It is an error if srv.TLSConfig
// has ClientAuth or ClientCAs and no certificate, because the server would serve all
// clients without TLS.
//
// Start takes srv over: leave Shutdown and Close to m, and set all fields before. It
// wraps Handler, BaseContext, ConnContext and ConnState, which keep working. The latter
// two get the connections as the listener returned them; NetConn of a *tls.Conn returns
// a type that embeds such a connection. A Server has one listener; a second Start with
// the same srv is an error.
//
// Each request is in flight under its method and pattern if srv.Handler is an
// http.ServeMux, and otherwise under its method and path. [SetName] gives it another
// name. Its context carries m and ends with [shutdown.Manager.WorkContext].
//
// If the shutdown has started, Start returns an error and does not listen.
func Start(m *shutdown.Manager, srv *http.Server) (*Server, error) {
	return startOn(m, srv, "", "")
}

// StartTLS is Start with a certificate and a key from files. As for
// http.Server.ListenAndServeTLS, both names may be empty if srv.TLSConfig has
// certificates.
func StartTLS(m *shutdown.Manager, srv *http.Server, certFile, keyFile string) (*Server, error) {
	if !started(srv) && (certFile != "" || keyFile != "" || !hasCertificates(srv)) {
		// ServeTLS would return this error later.
		if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
			return nil, fmt.Errorf("httpserver: certFile %q, keyFile %q: %w", certFile, keyFile, err)
		}
	}
	return startOn(m, srv, certFile, keyFile)
}

// Serve is Start with an existing listener. One from package listener, or one that
// wraps such a listener, drains without losing connections. Any other drains as
// described for [listener.New]. Serve takes ln over and closes it, also if it returns an
// error.
func Serve(m *shutdown.Manager, srv *http.Server, ln net.Listener) (*Server, error) {
	return serve(m, srv, ln, "", "")
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Drained returns a channel that is closed when the server has drained: all handlers
// have returned, including those of hijacked connections, and all connections are
// closed. It is also closed when there is no time left for that. Use it for what the
// handlers need and what drains itself: pass it to DrainAfter of another server, or
// wait for it in a Drain hook.
func (s *Server) Drained() <-chan struct{} { return s.drained }

// DrainAfter makes the server drain only when all of the channels are closed. They are
// the Drained channels of the servers whose handlers call this one. Until then it serves
// all clients. If the channels are still open at the end of
// [shutdown.Manager.WorkContext], the server drains nevertheless, and a warning in the
// log names both servers. Servers can be started in any order.
//
// DrainAfter does not block. A further call adds channels. Once Drain has started, a
// call has no effect. It panics if a channel is nil.
//
// A server that calls itself, and two servers that call each other, cannot be ordered.
// During their drain, requests are answered on connections that are open, but new
// connections are refused. Call the handler directly, or start a second server for the
// inner calls, on a loopback address.
func (s *Server) DrainAfter(channels ...<-chan struct{}) {
	for i, ch := range channels {
		if ch == nil {
			panic(fmt.Sprintf("httpserver: DrainAfter: channel %d of %d is nil", i+1, len(channels)))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drainAfter = append(s.drainAfter, channels...)
}

func startOn(m *shutdown.Manager, srv *http.Server, certFile, keyFile string) (*Server, error) {
	if started(srv) {
		return nil, fmt.Errorf("httpserver: %w", errStarted)
	}
	addr := srv.Addr
	switch {
	case addr != "":
	case certFile != "" || hasCertificates(srv):
		addr = ":https"
	default:
		addr = ":http"
	}
	if err := checkRunning(m); err != nil {
		return nil, fmt.Errorf("httpserver: listen on %s: %w", addr, err)
	}
	ln, err := listener.Listen(m.AcceptContext(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("httpserver: %w", err)
	}
	return serve(m, srv, ln, certFile, keyFile)
}

func serve(m *shutdown.Manager, srv *http.Server, ln net.Listener, certFile, keyFile string) (*Server, error) {
	refuse := func(err error) (*Server, error) {
		_ = ln.Close() // the other error matters
		return nil, fmt.Errorf("httpserver: serve on %s: %w", ln.Addr(), err)
	}
	if started(srv) {
		return refuse(errStarted)
	}
	secure := certFile != "" || hasCertificates(srv)
	// A listener of crypto/tls does TLS itself.
	callerTLS := reflect.TypeOf(ln) == reflect.TypeOf(tls.NewListener(nil, nil))
	if err := check(m, srv, secure || callerTLS); err != nil {
		return refuse(err)
	}
	s := &Server{
		m: m, srv: srv, name: "http " + ln.Addr().String(), ln: listener.New(ln), closing: connectionClose{m: m},
		served: make(chan struct{}), drained: make(chan struct{}), shutdownCalled: make(chan struct{}),
	}
	serveOn := srv.Serve
	if secure && !callerTLS {
		s.name = "https " + ln.Addr().String()
		serveOn = func(l net.Listener) error { return srv.ServeTLS(l, certFile, keyFile) }
	}
	s.conns.countIO = mayUseHTTP2(srv, secure && !callerTLS)
	s.wrapFields()

	// From here on a shutdown drains the server, even if it starts now.
	m.On(shutdown.Drain, s.name, s.drain)
	go func() {
		defer close(s.served)
		err := serveOn(connListener{s.ln, &s.conns})
		// ServeTLS does not close the listener if a certificate is wrong. Closing it
		// after Begin would interrupt the drain, which is an error.
		_ = s.ln.Close()
		if !s.draining.Load() && !errors.Is(err, http.ErrServerClosed) {
			m.Begin(fmt.Errorf("httpserver: serve %s: %w", s.name, err))
		}
	}()
	return s, nil
}

var errStarted = errors.New("this http.Server has been started before; use one http.Server per listener")

// started reports whether srv has been passed to serve before.
func started(srv *http.Server) bool {
	_, ok := srv.Handler.(*handler)
	return ok
}

func check(m *shutdown.Manager, srv *http.Server, secure bool) error {
	if err := checkRunning(m); err != nil {
		return err
	}
	if c := srv.TLSConfig; c != nil && !secure {
		switch {
		case c.ClientAuth != tls.NoClientCert:
			return fmt.Errorf("TLSConfig.ClientAuth is %v, but there is no certificate: it would be served without TLS", c.ClientAuth)
		case c.ClientCAs != nil:
			return errors.New("TLSConfig.ClientCAs is set, but there is no certificate: it would be served without TLS")
		}
	}
	return nil
}

func checkRunning(m *shutdown.Manager) error {
	if m.Phase() == shutdown.Running {
		return nil
	}
	<-m.AcceptContext().Done() // about to end, if it has not
	return fmt.Errorf("the shutdown has begun: %w", context.Cause(m.AcceptContext()))
}

func hasCertificates(srv *http.Server) bool {
	c := srv.TLSConfig
	return c != nil && (len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil)
}

func mayUseHTTP2(srv *http.Server, secure bool) bool {
	switch p := srv.Protocols; {
	case secure:
		return p == nil || p.HTTP2()
	default:
		return p != nil && p.UnencryptedHTTP2()
	}
}

// wrapFields puts functions of this package around those of the http.Server.
func (s *Server) wrapFields() {
	next := s.srv.Handler
	if next == nil {
		next = http.DefaultServeMux
	}
	h := newHandler(s.m, next, &s.closing)
	h.conns = &s.conns
	s.srv.Handler = h

	base := s.srv.BaseContext
	s.srv.BaseContext = func(ln net.Listener) context.Context {
		ctx := context.Background()
		if base != nil {
			if l, ok := ln.(connListener); ok {
				ln = l.Listener
			}
			ctx = base(ln)
		}
		ctx, cancel := context.WithCancelCause(context.WithValue(shutdown.NewContext(ctx, s.m), trackedKey{}, s.m))
		s.cancelRequests.Store(&cancel)
		// WorkContext ends in every shutdown, so this does not leak.
		context.AfterFunc(s.m.WorkContext(), func() { cancel(context.Cause(s.m.WorkContext())) })
		return ctx
	}

	connContext := s.srv.ConnContext
	s.srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, unwrap(c))
		}
		info := s.conns.find(c)
		if info == nil {
			return ctx
		}
		info.Context = ctx
		return info
	}

	connState := s.srv.ConnState
	s.srv.ConnState = func(c net.Conn, state http.ConnState) {
		if connState != nil {
			connState(unwrap(c), state)
		}
		s.conns.setState(c, state)
	}
}

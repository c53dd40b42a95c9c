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

// A Server is an http.Server that serves until the shutdown of its Manager has
// drained it. Start, StartTLS and Serve make one; its methods may be called by
// several goroutines at once.
type Server struct {
	m        *shutdown.Manager
	srv      *http.Server
	name     string // of its hook
	ln       *listener.Listener
	closing  closing
	conns    conns
	after    after
	served   chan struct{} // closed when Serve has returned
	drained  chan struct{} // closed when drain has returned
	draining atomic.Bool
	tellOnce sync.Once
	told     chan struct{}                           // closed when tell has been heard
	endWork  atomic.Pointer[context.CancelCauseFunc] // for the contexts of all requests; nil before Serve
}

// Start listens on srv.Addr and serves until the shutdown of m has drained the
// server. It returns when the port is open, or with an error if it cannot be;
// a busy port is an error at once. It serves TLS if srv.TLSConfig has
// certificates, and it is an error if that has ClientAuth or ClientCAs and none:
// what was to be kept to some clients would be served to all. If serving fails
// later, that begins the shutdown.
//
// Start takes srv over: Handler, BaseContext, ConnContext and ConnState are
// wrapped, and go on working; net.Conn values reach the latter two as they came
// from the listener. (What NetConn of a *tls.Conn returns embeds it.) Set them
// before, and leave Shutdown and Close to m; a Server has one listener. Each
// request is tracked under its method and pattern if srv.Handler is a
// http.ServeMux, else under its method and path, unless [SetName] gives it a name;
// its context carries m and ends with [shutdown.Manager.WorkContext].
//
// After the shutdown has begun, Start returns an error and listens on nothing.
func Start(m *shutdown.Manager, srv *http.Server) (*Server, error) {
	return startOn(m, srv, "", "")
}

// StartTLS is Start with the certificate and the key in files, as
// http.Server.ListenAndServeTLS has them: they may be empty if srv.TLSConfig has
// certificates.
func StartTLS(m *shutdown.Manager, srv *http.Server, certFile, keyFile string) (*Server, error) {
	if !started(srv) && (certFile != "" || keyFile != "" || !hasCertificates(srv)) {
		// So that it is an error now, and not of Serve later.
		if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
			return nil, fmt.Errorf("httpserver: certFile %q, keyFile %q: %w", certFile, keyFile, err)
		}
	}
	return startOn(m, srv, certFile, keyFile)
}

// Serve is Start for a listener that exists already: one from package listener,
// which can be drained without resetting anyone, what wraps one, or any other,
// which is drained as well as [listener.New] can. It takes ln over, and closes it
// also if it returns an error.
func Serve(m *shutdown.Manager, srv *http.Server, ln net.Listener) (*Server, error) {
	return serve(m, srv, ln, "", "")
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Drained returns a channel that is closed when the last of the server's handlers
// has returned, those of hijacked connections included, and its connections are
// closed, or when there is no time left for that. It is for what the handlers
// need and drains itself: another server, with its DrainAfter, or a Drain hook.
func (s *Server) Drained() <-chan struct{} { return s.drained }

// DrainAfter has the server drain only when all of the channels are closed: those
// of Drained of the servers whose handlers call this one. It serves everyone who
// calls until then. If they are not closed by the end of
// [shutdown.Manager.WorkContext], it drains all the same, and a warning in the log
// names both. Servers can be started in any order, the inner one first. Once Drain
// has begun, DrainAfter does nothing.
//
// A server that calls itself, or two that call each other, cannot be put in order:
// requests that come when it drains are answered for as long as its connections
// last, but new connections are refused. Let the handler call the other handler,
// or give the inner calls a server of their own on a loopback address.
func (s *Server) DrainAfter(channels ...<-chan struct{}) { s.after.add(channels) }

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
	if err := begun(m); err != nil {
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
	// What crypto/tls has made speaks TLS already.
	theirs := reflect.TypeOf(ln) == reflect.TypeOf(tls.NewListener(nil, nil))
	if err := check(m, srv, secure || theirs); err != nil {
		return refuse(err)
	}
	s := &Server{
		m: m, srv: srv, name: "http " + ln.Addr().String(), ln: listener.New(ln), closing: closing{m: m},
		served: make(chan struct{}), drained: make(chan struct{}), told: make(chan struct{}),
	}
	serveOn := srv.Serve
	if secure && !theirs {
		s.name = "https " + ln.Addr().String()
		serveOn = func(l net.Listener) error { return srv.ServeTLS(l, certFile, keyFile) }
	}
	s.conns.counted = mayUseHTTP2(srv, secure && !theirs)
	s.wrap()

	// From here on a shutdown drains the server, also one that begins now.
	m.On(shutdown.Drain, s.name, s.drain)
	go func() {
		defer close(s.served)
		err := serveOn(accepter{s.ln, &s.conns})
		// ServeTLS leaves it open if the certificates are wrong. A Close that came
		// after Begin would interrupt the drain, which is an error.
		_ = s.ln.Close()
		if !s.draining.Load() && !errors.Is(err, http.ErrServerClosed) {
			m.Begin(fmt.Errorf("httpserver: serve %s: %w", s.name, err))
		}
	}()
	return s, nil
}

var errStarted = errors.New("this http.Server has been started before; a listener needs a Server of its own")

// started reports whether what is in srv is net/http's already.
func started(srv *http.Server) bool {
	_, ok := srv.Handler.(*tracked)
	return ok
}

func check(m *shutdown.Manager, srv *http.Server, secure bool) error {
	if err := begun(m); err != nil {
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

func mayUseHTTP2(srv *http.Server, secure bool) bool {
	switch p := srv.Protocols; {
	case secure:
		return p == nil || p.HTTP2()
	default:
		return p != nil && p.UnencryptedHTTP2()
	}
}

// wrap puts our functions around those of the http.Server.
func (s *Server) wrap() {
	next := s.srv.Handler
	if next == nil {
		next = http.DefaultServeMux
	}
	handler := track(s.m, next, &s.closing)
	handler.conns = &s.conns
	s.srv.Handler = handler

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
			connState(bare(c), state)
		}
		s.conns.changed(c, state)
	}
}

package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/gracefulgo/shutdown"
)

// Options select what is served beside /livez and /readyz. The zero value adds nothing.
type Options struct {
	// Ready is the service's own readiness check for /readyz; nil means always ready.
	// It returns nil if the service is ready. It is called only after Wait and before
	// the shutdown starts, and never twice at the same time: probes that arrive while
	// it runs, and the status page, share its result. Its context carries the Manager
	// and ends after 5 s, or when the shutdown starts; if Ready has not returned by
	// then, the service is not ready. A panic counts as an error and is logged with
	// log/slog.
	Ready func(context.Context) error

	// PreStop serves /prestop, which starts the shutdown.
	PreStop bool

	// Token, if not empty, is required by /prestop, as "Authorization: Bearer TOKEN".
	// It is sent, and stands in the manifest, in clear text.
	Token string

	// Debug serves /debug/shutdown, the status page.
	Debug bool

	// Handler serves all other paths, for example /metrics or net/http/pprof. Its
	// requests do not count as in flight: the shutdown does not wait for a profile
	// that takes 30 s, and metrics are served until the process exits.
	Handler http.Handler

	// TLSConfig makes Start serve TLS. It needs a certificate, or a function that
	// returns one.
	TLSConfig *tls.Config
}

// A Server is a running server that Start has returned.
type Server struct{ addr net.Addr }

// Addr returns the address that the server listens on, with the port that was chosen if
// Start was given port 0.
func (s *Server) Addr() net.Addr { return s.addr }

const (
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = time.Minute
	writeTimeout      = 10 * time.Second // for a response that is ready to be written
	maxHeaderBytes    = 64 << 10
)

// Start listens on addr ("127.0.0.1:9090", ":9090") and serves the endpoints that o
// selects. It returns as soon as it listens, and serves on a goroutine of its own. It
// returns an error if it cannot listen, if o is invalid, or if the shutdown has started.
//
// The server cannot be stopped: it serves until the process exits, also after the
// shutdown has ended, because a failing liveness probe would make the platform kill a
// process that is still closing. In a test, use [Handler].
//
// If serving fails later, that starts the shutdown.
func Start(m *shutdown.Manager, addr string, o Options) (*Server, error) {
	srv, ln, err := listen(m, addr, o)
	if err != nil {
		return nil, err
	}
	go serve(m, srv, ln)
	return &Server{ln.Addr()}, nil
}

// Handler returns the handler that Start serves, for a server of your own. Do not mount
// it on a server that m drains: the probes would fail as soon as that server stops
// accepting, and httpserver would count them as requests in flight. Handler panics if o
// is invalid.
func Handler(m *shutdown.Manager, o Options) http.Handler {
	if err := o.check(); err != nil {
		panic(err)
	}
	a := &admin{m: m, o: o, started: time.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", a.livez)
	mux.HandleFunc("GET /readyz", a.readyz)
	if o.PreStop {
		mux.HandleFunc("GET /prestop", a.preStop)
		mux.HandleFunc("POST /prestop", a.preStop)
	}
	if o.Debug {
		mux.HandleFunc("GET /debug/shutdown", a.debug)
	}
	if o.Handler != nil {
		mux.Handle("/", o.Handler)
	}
	return mux
}

// An admin is the state that the handlers share.
type admin struct {
	m       *shutdown.Manager
	o       Options
	started time.Time

	checks   singleflight.Group
	wasReady atomic.Bool // Options.Ready has returned nil at least once

	refused      sync.Once // logs the first refused preStop request
	accepted     sync.Once // registers the hook that waits for responses
	preStopCalls shutdown.Tracker
}

func (o Options) check() error {
	switch {
	case o.Token != "" && !o.PreStop:
		return errors.New("admin: Options.Token requires Options.PreStop")
	case strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("admin: Options.Token: a header can have only visible ASCII characters; does it end with a newline?")
	case o.TLSConfig != nil && len(o.TLSConfig.Certificates) == 0 && o.TLSConfig.GetCertificate == nil && o.TLSConfig.GetConfigForClient == nil:
		return errors.New("admin: Options.TLSConfig has no certificate and no function that returns one")
	}
	return nil
}

func listen(m *shutdown.Manager, addr string, o Options) (*http.Server, net.Listener, error) {
	if err := o.check(); err != nil {
		return nil, nil, err
	}
	if addr == "" {
		return nil, nil, errors.New(`admin: the address is empty: want host:port, such as "127.0.0.1:9090", or ":9090" for all interfaces`)
	}
	if m.Phase() != shutdown.Running {
		<-m.AcceptContext().Done() // it ends a moment after the phase has changed
		return nil, nil, fmt.Errorf("admin: listen on %s: the shutdown has started: %w", addr, context.Cause(m.AcceptContext()))
	}
	var config net.ListenConfig
	ln, err := config.Listen(m.AcceptContext(), "tcp", addr)
	if err != nil {
		return nil, nil, fmt.Errorf("admin: %w", err)
	}
	return &http.Server{
		Handler:   Handler(m, o),
		TLSConfig: o.TLSConfig,
		// No WriteTimeout: /prestop responds only when the lame duck is over.
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	}, ln, nil
}

func serve(m *shutdown.Manager, srv *http.Server, ln net.Listener) {
	serve := func() error { return srv.Serve(ln) }
	if srv.TLSConfig != nil {
		serve = func() error { return srv.ServeTLS(ln, "", "") }
	}
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		m.Begin(fmt.Errorf("admin: serve %s: %w", ln.Addr(), err))
	}
}

// limitResponse sets the time in which the response has to be written and the body of
// the request read. Otherwise a client that does not read, or does not send the body that
// it has announced, holds its connection forever.
func limitResponse(w http.ResponseWriter, d time.Duration) {
	control, deadline := http.NewResponseController(w), time.Now().Add(d)
	_ = control.SetWriteDeadline(deadline) // not every ResponseWriter has deadlines
	_ = control.SetReadDeadline(deadline)
}

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

// Options say what is served beside /livez and /readyz. The zero value is
// nothing.
type Options struct {
	// Ready is the service's own part in /readyz: nil means ready. It is called
	// while nothing else stands in the way, for one probe at a time; probes that
	// come meanwhile, and the status page, share its result. Its context carries
	// the Manager and ends after 5 s, or when the shutdown begins. If it has not
	// returned by then the service is not ready; a panic is an error, and logged
	// with log/slog.
	Ready func(context.Context) error

	// PreStop serves /prestop, which begins the shutdown.
	PreStop bool

	// Token, if not empty, has to be sent to /prestop, as "Authorization: Bearer
	// TOKEN". It goes over the wire, and into the manifest, as it is.
	Token string

	// Debug serves /debug/shutdown.
	Debug bool

	// Handler serves every other path: /metrics, or net/http/pprof. Its requests are
	// not in flight, as probes are not: the shutdown does not wait for a profile that
	// takes 30 s, and metrics can be had until the process ends.
	Handler http.Handler

	// TLSConfig makes Start serve TLS. It has to have a certificate, or a function
	// that returns one.
	TLSConfig *tls.Config
}

// A Server is what Start has started.
type Server struct{ addr net.Addr }

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.addr }

const (
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = time.Minute
	// writeTimeout is for a whole answer, once there is one.
	writeTimeout = 10 * time.Second
	maxHeader    = 64 << 10
)

// Start listens on addr ("127.0.0.1:9090", ":9090") and serves what o asks for.
// It returns when the port is open, or with an error if it cannot be: a busy port
// is an error at once, and so are Options that contradict each other.
//
// There is no way to stop it. It serves until the process ends, also when the
// shutdown has ended, because a liveness probe that fails would have the
// platform kill what is still closing. In a test use [Handler].
//
// If serving fails later, that begins the shutdown. After the shutdown has
// begun, Start returns an error and listens on nothing.
func Start(m *shutdown.Manager, addr string, o Options) (*Server, error) {
	srv, ln, err := listen(m, addr, o)
	if err != nil {
		return nil, err
	}
	go serve(m, srv, ln)
	return &Server{ln.Addr()}, nil
}

// Handler is what Start serves, for a server of your own. Do not mount it on a
// server that m drains: its probes would fail while the service is still working,
// and httpserver would count them as work. It panics where Start returns an error
// about o.
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

// An admin is the state behind the handlers.
type admin struct {
	m       *shutdown.Manager
	o       Options
	started time.Time

	checks  singleflight.Group
	agreed  atomic.Bool // Options.Ready has returned nil at least once
	called  atomic.Bool // somebody has called /prestop, and was let in
	refused sync.Once   // logs the first who was not
	answers shutdown.Tracker
}

func (o Options) check() error {
	switch {
	case o.Token != "" && !o.PreStop:
		return errors.New("admin: Options.Token is set, but not Options.PreStop, which it is for")
	case strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("admin: Options.Token: only visible ASCII characters can be sent in a header; is there a newline at its end?")
	case o.TLSConfig != nil && len(o.TLSConfig.Certificates) == 0 && o.TLSConfig.GetCertificate == nil && o.TLSConfig.GetConfigForClient == nil:
		return errors.New("admin: Options.TLSConfig has no certificate, and no function that returns one")
	}
	return nil
}

func listen(m *shutdown.Manager, addr string, o Options) (*http.Server, net.Listener, error) {
	if err := o.check(); err != nil {
		return nil, nil, err
	}
	if addr == "" {
		return nil, nil, errors.New(`admin: the address is empty: it is a host and a port, such as "127.0.0.1:9090", or ":9090" for all interfaces`)
	}
	if m.Phase() != shutdown.Running {
		<-m.AcceptContext().Done() // it is about to be
		return nil, nil, fmt.Errorf("admin: listen on %s: the shutdown has begun: %w", addr, context.Cause(m.AcceptContext()))
	}
	var config net.ListenConfig
	ln, err := config.Listen(m.AcceptContext(), "tcp", addr)
	if err != nil {
		return nil, nil, fmt.Errorf("admin: %w", err)
	}
	return &http.Server{
		Handler:   Handler(m, o),
		TLSConfig: o.TLSConfig,
		// No WriteTimeout: /prestop answers when the lame duck is over.
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
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

// answerBy bounds the rest of an answer: nobody who does not read, or does not
// send the body that he has announced, holds on to a connection for good.
func answerBy(w http.ResponseWriter, d time.Duration) {
	control, by := http.NewResponseController(w), time.Now().Add(d)
	_ = control.SetWriteDeadline(by) // a ResponseWriter that cannot has bounds of its own
	_ = control.SetReadDeadline(by)
}

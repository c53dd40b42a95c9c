package httpserver

import (
	"context"
	"net/http"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/bridge"
	"github.com/gracefulgo/shutdown/internal/inflight"
)

// Middleware returns a middleware, in the form that routers take, that tracks each
// request with m. It is for servers that Start does not start: HTTP/3, a function
// platform, a test. A request is in flight until its handler returns, under its method
// and its pattern or path; see [SetName]. Its context carries m and ends with
// [shutdown.Manager.WorkContext].
//
// Once the shutdown has started, responses have "Connection: close", as under Start. HTTP/3
// has no such header, and its ResponseWriter is not wrapped. After the end of the drain,
// a request is answered with 503.
//
// Within a server that Start has started for the same m, the middleware does nothing, so
// that a request is not counted twice.
func Middleware(m *shutdown.Manager) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		h := newHandler(m, next, &connectionClose{m: m})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			if ctx.Value(trackedKey{}) == m {
				next.ServeHTTP(w, r)
				return
			}
			ctx, cancel := context.WithCancelCause(context.WithValue(shutdown.NewContext(ctx, m), trackedKey{}, m))
			defer cancel(nil)
			stop := context.AfterFunc(m.WorkContext(), func() { cancel(context.Cause(m.WorkContext())) })
			defer stop()
			x, ok := h.begin(w, r)
			if !ok {
				return
			}
			defer h.inFlight.End(x.task)
			r = r.WithContext(context.WithValue(ctx, requestKey{}, &x.request))
			if r.ProtoMajor > 2 { // a wrapper would hide methods of its ResponseWriter
				h.serveTracked(w, r)
				return
			}
			h.respond(w, r, x, nil)
		})
	}
}

// kind is that of requests in [shutdown.Task] and [shutdown.Traffic].
const kind = "http"

// trackedKey is the context key of the Manager that tracks the request.
type trackedKey struct{}

// A handler tracks requests. Start and Middleware put it around the user's handler.
type handler struct {
	m        *shutdown.Manager
	inFlight *inflight.Tracker
	next     http.Handler
	mux      *http.ServeMux // next, if it is one
	closing  *connectionClose
	conns    *conns // nil under Middleware
}

func newHandler(m *shutdown.Manager, next http.Handler, c *connectionClose) *handler {
	mux, _ := next.(*http.ServeMux)
	return &handler{m: m, inFlight: bridge.InFlight(m), next: next, mux: mux, closing: c}
}

// serveTracked calls the user's handler for a request that is in flight. The root
// package recognizes the stacks of requests by the name of this method.
func (h *handler) serveTracked(w http.ResponseWriter, r *http.Request) { h.next.ServeHTTP(w, r) }

// An exchange is a request and its response in one allocation.
type exchange struct {
	request
	response hijackable
}

// begin adds the request to those in flight. After the end of the drain it answers the
// request with 503 and returns false.
func (h *handler) begin(w http.ResponseWriter, r *http.Request) (x *exchange, ok bool) {
	if h.m.Phase() != shutdown.Running {
		h.m.AddTraffic(shutdown.Traffic{Kind: kind, RequestsWhileLeaving: 1})
	}
	x = &exchange{request: request{
		handler: h, http1: r.ProtoMajor == 1, method: r.Method, host: r.Host, path: r.URL.Path, pattern: r.Pattern,
	}}
	if x.task, ok = h.inFlight.Begin(kind, "", &x.request); !ok {
		if r.ProtoMajor < 3 {
			w.Header().Set("Connection", "close")
		}
		http.Error(w, "this instance has shut down", http.StatusServiceUnavailable)
	}
	return x, ok
}

// ServeHTTP is called by the server that Start has started.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, ok := h.begin(w, r)
	if !ok {
		return
	}
	defer h.inFlight.End(x.task)
	c, _ := r.Context().Value(connKey{}).(*conn)
	x.conn = c
	switch {
	case r.ProtoMajor == 2 && x.method == "PRI" && x.path == "*":
		h.serveXNetH2C(w, r, &x.request)
	case r.ProtoMajor == 2 && c != nil:
		h.serveHTTP2(w, r, x)
	default:
		if c != nil {
			x.upgrades = r.Header["Http2-Settings"] != nil // nothing else needs this header
			c.request.Store(&x.request)
			defer h.conns.requestEnded(c)
		}
		h.respond(w, r, x, nil)
	}
}

// respond calls the user's handler with a ResponseWriter that sets "Connection: close".
func (h *handler) respond(w http.ResponseWriter, r *http.Request, x *exchange, s *streams) {
	full := &x.response
	rw := &full.response
	rw.ResponseWriter, rw.request, rw.streams = w, &x.request, s
	if s != nil {
		defer rw.beforeHeader(http.StatusOK) // also if next panics
	}
	h.serveTracked(full.withInterfacesOf(w), r)
	rw.beforeHeader(http.StatusOK)
}

// serveHTTP2 serves a request that shares its connection with others.
func (h *handler) serveHTTP2(w http.ResponseWriter, r *http.Request, x *exchange) {
	r = r.WithContext(context.WithValue(r.Context(), requestKey{}, &x.request))
	if x.conn.wire() == nil { // its frames are not followed
		h.respond(w, r, x, nil)
		return
	}
	s := &x.conn.wire().streams
	s.begin()
	defer func() {
		if x.untracked.Load() {
			s.addUntracked(-1)
			h.conns.untracked.Add(-1)
		}
		s.end()
	}()
	h.respond(w, r, x, s)
}

// serveXNetH2C serves h2c.NewHandler of golang.org/x/net, for which a whole connection
// is one request. The requests on the connection are not seen here, but conns sees
// whether it is idle.
func (h *handler) serveXNetH2C(w http.ResponseWriter, r *http.Request, q *request) {
	q.untracked.Store(true)
	h.inFlight.End(q.task)
	if q.conn != nil {
		q.conn.request.Store(q)
		defer h.conns.setState(q.conn.outer(), http.StateClosed) // x/net's server does not report it
	}
	h.conns.warnOfH2C.Do(func() {
		bridge.Warn(h.m, "httpserver: requests over golang.org/x/net/http2/h2c have no name in reports, and their clients are not asked to reconnect: use http.Server.Protocols instead",
			"remedy", "Protocols.SetUnencryptedHTTP2(true)")
	})
	h.next.ServeHTTP(w, r)
}

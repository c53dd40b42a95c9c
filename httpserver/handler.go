package httpserver

import (
	"context"
	"net/http"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/inflight"
	"github.com/gracefulgo/shutdown/internal/warning"
)

// Middleware returns a middleware, in the shape that routers take, that has every
// request tracked by m, for servers that are not started with Start: HTTP/3, a
// function platform, a test. A request is in flight, under its method and pattern
// or path (see [SetName]), until the handler returns; its context carries m and
// ends with [shutdown.Manager.WorkContext]. From the beginning of the shutdown
// responses carry "Connection: close", as they do under Start, but for HTTP/3, which
// has no such header, and whose ResponseWriter is left alone. A request that comes
// after the end of the drain is answered with 503.
//
// Inside of a server that Start has started for the same m it does nothing, so
// that nothing is counted twice.
func Middleware(m *shutdown.Manager) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		t := track(m, next, &closing{m: m})
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
			x := t.exchange(r)
			if !t.begin(w, x) {
				return
			}
			defer t.inFlight.End(x.task)
			r = r.WithContext(context.WithValue(ctx, requestKey{}, &x.request))
			if r.ProtoMajor > 2 { // its ResponseWriter has methods that no wrapper has
				next.ServeHTTP(w, r)
				return
			}
			t.respond(w, r, x, nil)
		})
	}
}

// trackedKey is the context key of the Manager that counts the request.
type trackedKey struct{}

// tracked is the handler that Start and Middleware put around the user's.
type tracked struct {
	m        *shutdown.Manager
	inFlight *inflight.Tracker
	next     http.Handler
	mux      *http.ServeMux // next, if it is one
	closing  *closing
	conns    *conns // nil if the server is not ours
}

func track(m *shutdown.Manager, next http.Handler, c *closing) *tracked {
	mux, _ := next.(*http.ServeMux)
	return &tracked{m: m, inFlight: inflight.Of(m), next: next, mux: mux, closing: c}
}

// An exchange is a request and its response, in one allocation.
type exchange struct {
	request
	response hijackable
}

func (t *tracked) exchange(r *http.Request) *exchange {
	return &exchange{request: request{handler: t, proto: r.ProtoMajor, method: r.Method, host: r.Host, path: r.URL.Path, pattern: r.Pattern}}
}

// begin counts the request, or answers that it is too late.
func (t *tracked) begin(w http.ResponseWriter, x *exchange) (ok bool) {
	if x.task, ok = t.inFlight.Begin("", &x.request); !ok {
		if x.proto < 3 {
			w.Header().Set("Connection", "close")
		}
		http.Error(w, "this instance has shut down", http.StatusServiceUnavailable)
	}
	return ok
}

// ServeHTTP is for servers of Start.
func (t *tracked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := t.exchange(r)
	if !t.begin(w, x) {
		return
	}
	defer t.inFlight.End(x.task)
	c, _ := r.Context().Value(connKey{}).(*conn)
	x.conn = c
	switch {
	case r.ProtoMajor == 2 && x.method == "PRI" && x.path == "*":
		t.oldH2C(w, r, &x.request)
	case r.ProtoMajor == 2 && c != nil:
		t.http2(w, r, x)
	default:
		if c != nil {
			x.upgrades = r.Header["Http2-Settings"] != nil // which nothing else needs
			c.request.Store(&x.request)
			defer t.conns.ended(c)
		}
		t.respond(w, r, x, nil)
	}
}

// respond lets the handler answer, and the client be asked to leave.
func (t *tracked) respond(w http.ResponseWriter, r *http.Request, x *exchange, s *streams) {
	full := &x.response
	rw := &full.response
	rw.ResponseWriter, rw.closing, rw.request, rw.streams = w, t.closing, &x.request, s
	if s != nil {
		defer rw.headerDue(http.StatusOK) // also if next panics
	}
	t.next.ServeHTTP(full.asGoodAs(w), r)
	rw.headerDue(http.StatusOK)
}

// http2 is for a request that has its connection for itself no more than its name.
func (t *tracked) http2(w http.ResponseWriter, r *http.Request, x *exchange) {
	r = r.WithContext(context.WithValue(r.Context(), requestKey{}, &x.request))
	if x.conn.wire == nil { // nothing is known about its frames
		t.respond(w, r, x, nil)
		return
	}
	s := &x.conn.wire.streams
	s.begin()
	defer func() {
		if x.untracks.Load() {
			s.setFree(-1)
			t.conns.free.Add(-1)
		}
		s.end()
	}()
	t.respond(w, r, x, s)
}

// oldH2C is for x/net's h2c.NewHandler, to which a whole connection is one
// request. What comes on it then is not seen here; that it is idle, is: see conns.
func (t *tracked) oldH2C(w http.ResponseWriter, r *http.Request, q *request) {
	q.untracks.Store(true)
	t.inFlight.End(q.task)
	if q.conn != nil {
		q.conn.request.Store(q)
		defer t.conns.changed(q.conn.outer, http.StateClosed) // x/net's server does not say so
	}
	t.conns.warnOfH2C.Do(func() {
		warning.Log(t.m, "httpserver: requests over golang.org/x/net/http2/h2c are not tracked by name, and their clients are not told to leave: set http.Server.Protocols instead",
			"remedy", "Protocols.SetUnencryptedHTTP2(true)")
	})
	t.next.ServeHTTP(w, r)
}

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
// ends with [shutdown.Manager.WorkContext]. A request that begins before the
// shutdown gets the server's own ResponseWriter; to one that begins later the
// response is "Connection: close", but for HTTP/3, which has no such header. A
// request that comes after the end of the drain is answered with 503.
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
			q := t.request(r)
			if !t.begin(w, q) {
				return
			}
			defer t.inFlight.End(q.task)
			r = r.WithContext(context.WithValue(ctx, requestKey{}, q))
			if r.ProtoMajor > 2 || m.Phase() == shutdown.Running {
				next.ServeHTTP(w, r)
				return
			}
			t.respond(w, r, nil)
		})
	}
}

// trackedKey is the context key of the Manager that counts the request.
type trackedKey struct{}

// tracked is the handler that Start and Middleware put around the user's.
type tracked struct {
	m        *shutdown.Manager
	inFlight inflight.Tracker
	next     http.Handler
	mux      *http.ServeMux // next, if it is one
	closing  *closing
	conns    *conns // nil if the server is not ours
}

func track(m *shutdown.Manager, next http.Handler, c *closing) *tracked {
	mux, _ := next.(*http.ServeMux)
	return &tracked{m: m, inFlight: inflight.Of(m.AcceptContext()), next: next, mux: mux, closing: c}
}

func (t *tracked) request(r *http.Request) *request {
	return &request{handler: t, method: r.Method, host: r.Host, path: r.URL.Path, pattern: r.Pattern}
}

// begin counts the request, or answers that it is too late.
func (t *tracked) begin(w http.ResponseWriter, q *request) (ok bool) {
	if q.task, ok = t.inFlight.Begin(q); !ok {
		w.Header().Set("Connection", "close")
		http.Error(w, "this instance has shut down", http.StatusServiceUnavailable)
	}
	return ok
}

// ServeHTTP is for servers of Start.
func (t *tracked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := t.request(r)
	if !t.begin(w, q) {
		return
	}
	defer t.inFlight.End(q.task)
	c, _ := r.Context().Value(connKey{}).(*conn)
	q.conn = c
	switch {
	case r.ProtoMajor == 2 && q.method == "PRI" && r.URL.Path == "*":
		t.oldH2C(w, r, q)
	case r.ProtoMajor == 2 && c != nil:
		t.http2(w, r, q)
	default:
		if c != nil {
			c.request.Store(q)
			defer t.conns.ended(c)
		}
		// Whoever asks while the server runs gets the server's own ResponseWriter, of
		// which no wrapper has all the methods.
		if t.m.Phase() == shutdown.Running && (c == nil || !c.isWrapped()) {
			t.next.ServeHTTP(w, r)
			return
		}
		t.respond(w, r, nil)
	}
}

// respond lets the handler answer, and the client be asked to leave.
func (t *tracked) respond(w http.ResponseWriter, r *http.Request, s *streams) {
	full := &hijackable{response: response{ResponseWriter: w, closing: t.closing, streams: s}}
	rw := &full.response
	if s != nil {
		defer rw.headerDue(http.StatusOK) // also if next panics
	}
	t.next.ServeHTTP(full.asGoodAs(w), r)
	rw.headerDue(http.StatusOK)
}

// http2 is for a request that has its connection for itself no more than its name.
func (t *tracked) http2(w http.ResponseWriter, r *http.Request, q *request) {
	r = r.WithContext(context.WithValue(r.Context(), requestKey{}, q))
	if q.conn.wire == nil { // nothing is known about its frames
		t.respond(w, r, nil)
		return
	}
	s := &q.conn.wire.streams
	s.begin()
	defer func() {
		if q.untracks.Load() {
			s.setFree(-1)
			t.conns.free.Add(-1)
		}
		s.end()
	}()
	t.respond(w, r, s)
}

// oldH2C is for x/net's h2c.NewHandler, to which a whole connection is one
// request. What comes on it then is not seen here; that it is idle, is: see conns.
func (t *tracked) oldH2C(w http.ResponseWriter, r *http.Request, q *request) {
	q.untracks.Store(true)
	t.inFlight.End(q.task)
	if q.conn != nil {
		q.conn.request.Store(q)
	}
	t.conns.warnOfH2C.Do(func() {
		warning.Log(t.m.AcceptContext(), "httpserver: requests over golang.org/x/net/http2/h2c are not tracked by name, and their clients are not told to leave: set http.Server.Protocols instead",
			"remedy", "Protocols.SetUnencryptedHTTP2(true)")
	})
	t.next.ServeHTTP(w, r)
}

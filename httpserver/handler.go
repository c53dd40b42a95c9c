package httpserver

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
)

// Handler returns h with every request tracked by m, for servers that are not
// started with Start: HTTP/3, a function platform, a test. A request is in
// flight, under its method and pattern or path, until h returns; its context
// carries m and ends with [shutdown.Manager.WorkContext]. From the beginning of
// the shutdown responses carry "Connection: close", as they do under Start. A
// request that comes after the end of the drain is answered with 503.
//
// Inside of a server that Start has started for the same m it does nothing, so
// that nothing is counted twice.
func Handler(m *shutdown.Manager, h http.Handler) http.Handler {
	next := tracked{m: m, next: h, mux: asMux(h), closing: &closing{m: m}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(trackedKey{}) == m {
			h.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithCancelCause(context.WithValue(shutdown.NewContext(r.Context(), m), trackedKey{}, m))
		defer cancel(nil)
		stop := context.AfterFunc(m.WorkContext(), func() { cancel(context.Cause(m.WorkContext())) })
		defer stop()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// trackedKey is the context key of the Manager that counts the request.
type trackedKey struct{}

// tracked is the handler that Start and Handler put around the user's.
type tracked struct {
	m       *shutdown.Manager
	next    http.Handler
	mux     *http.ServeMux // next, if it is one
	closing *closing
}

func (t tracked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	done, ok := t.m.Track(t.name(r))
	if !ok {
		w.Header().Set("Connection", "close")
		http.Error(w, "this instance has shut down", http.StatusServiceUnavailable)
		return
	}
	defer done()
	rw := response{ResponseWriter: w, closing: t.closing}
	if r.ProtoMajor == 2 {
		rw.conn, _ = r.Context().Value(connKey{}).(*conn)
		if rw.conn != nil {
			rw.conn.streams.begin()
			defer rw.headerDue(http.StatusOK) // also if next panics
		}
	}
	if h, ok := w.(hijacker); ok {
		rw := hijackable{rw, h}
		t.next.ServeHTTP(&rw, r)
		rw.headerDue(http.StatusOK)
		return
	}
	t.next.ServeHTTP(&rw, r)
	rw.headerDue(http.StatusOK)
}

const maxName = 120

// name is what logs call the request. The query is left out: it may hold
// secrets, and tells nobody what the service is busy with.
func (t tracked) name(r *http.Request) string {
	what := r.Pattern
	if t.mux != nil {
		_, what = t.mux.Handler(r)
	}
	if what == "" {
		what = r.URL.Path
		if len(what) > maxName {
			what = strings.ToValidUTF8(what[:maxName], "") + "..."
		}
	}
	if method, _, ok := strings.Cut(what, " "); ok && !strings.Contains(method, "/") {
		return what // a pattern that has a method
	}
	return r.Method + " " + what
}

func asMux(h http.Handler) *http.ServeMux {
	mux, _ := h.(*http.ServeMux)
	return mux
}

// now reports whether the response whose header is about to be written should
// ask the client to leave.
func (c *closing) now(on *conn) bool {
	phase := c.m.Phase()
	if phase == shutdown.Running {
		return false
	}
	c.once.Do(func() {
		r := c.m.Report()
		c.begun, c.ramp = r.Begun, r.LameDuck
	})
	elapsed := time.Since(c.begun)
	ramping := phase == shutdown.Leave && elapsed < c.ramp && (on == nil || !on.streams.leaving())
	if ramping && rand.Float64() >= float64(elapsed)/float64(c.ramp) { //nolint:gosec // a share of responses, not a secret
		return false
	}
	if on != nil {
		on.streams.leave()
	}
	return true
}

// A response sets "Connection: close" when its header is written and not when
// the request begins: long requests began before the shutdown.
type response struct {
	http.ResponseWriter
	closing *closing
	conn    *conn // of an HTTP/2 request
	wrote   bool  // the header
}

// headerDue comes before everything that writes the header.
func (w *response) headerDue(status int) {
	if w.wrote || status < 200 { // 1xx is not the header yet, or of a protocol with rules of its own
		return
	}
	w.wrote = true
	if w.closing.now(w.conn) {
		w.Header().Set("Connection", "close")
	}
	if w.conn != nil {
		w.conn.streams.answer()
	}
}

func (w *response) WriteHeader(status int) {
	w.headerDue(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	w.headerDue(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

func (w *response) WriteString(s string) (int, error) {
	w.headerDue(http.StatusOK)
	return io.WriteString(w.ResponseWriter, s)
}

// Flush is http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is what http.ResponseController looks for.
func (w *response) FlushError() error {
	w.headerDue(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A hijacker is what net/http's HTTP/1 responses are.
type hijacker interface {
	http.Hijacker
	io.ReaderFrom
}

// hijackable is a response that keeps what only HTTP/1 has.
type hijackable struct {
	response
	inner hijacker
}

// Hijack returns the connection as it came from the listener.
func (w *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := w.inner.Hijack()
	if err != nil {
		return c, rw, err
	}
	w.wrote = true // by the handler from now on
	return bare(c), rw, nil
}

// ReadFrom keeps sendfile.
func (w *hijackable) ReadFrom(r io.Reader) (int64, error) {
	w.headerDue(http.StatusOK)
	return w.inner.ReadFrom(r)
}

package httpserver

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/inflight"
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
	next := track(m, h, &closing{m: m})
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
	inFlight inflight.Tracker
	next     http.Handler
	mux      *http.ServeMux // next, if it is one
	closing  *closing
}

func track(m *shutdown.Manager, next http.Handler, c *closing) tracked {
	mux, _ := next.(*http.ServeMux)
	return tracked{inflight.Of(m.AcceptContext()), next, mux, c}
}

func (t tracked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// One allocation, whichever of the two is used.
	full := &hijackable{response: response{
		ResponseWriter: w, closing: t.closing, mux: t.mux, method: r.Method, host: r.Host, path: r.URL.Path, pattern: r.Pattern,
	}}
	rw := &full.response
	task, ok := t.inFlight.Begin(rw)
	if !ok {
		w.Header().Set("Connection", "close")
		http.Error(w, "this instance has shut down", http.StatusServiceUnavailable)
		return
	}
	defer t.inFlight.End(task)
	if r.ProtoMajor == 2 {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			rw.streams = &c.streams
			rw.streams.begin()
			defer rw.streams.end()
			defer rw.headerDue(http.StatusOK) // also if next panics
		}
	}
	t.next.ServeHTTP(full.asGoodAs(w), r)
	rw.headerDue(http.StatusOK)
}

const (
	maxName   = 120
	maxMethod = 20
)

// TaskName is what logs call the request: method and pattern, or path. The
// query is left out: it may hold secrets, and tells nobody what the service is
// busy with. The request itself is the handler's, so this looks at a copy.
func (w *response) TaskName() string {
	what := w.pattern
	if w.mux != nil {
		_, what = w.mux.Handler(&http.Request{Method: w.method, Host: w.host, URL: &url.URL{Path: w.path}})
	}
	if what == "" {
		what = w.path
		if strings.ContainsFunc(what, func(r rune) bool { return !unicode.IsPrint(r) }) {
			what = (&url.URL{Path: what}).EscapedPath() // nobody can forge lines of a log
		}
		what = cut(what, maxName)
	}
	if method, _, ok := strings.Cut(what, " "); ok && !strings.Contains(method, "/") {
		return what // a pattern that has a method
	}
	return cut(w.method, maxMethod) + " " + what
}

func cut(s string, limit int) string {
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}

// now reports whether the response whose header is about to be written should
// ask the client to leave.
func (c *closing) now(on *streams) bool {
	phase := c.m.Phase()
	if phase == shutdown.Running {
		return false
	}
	c.once.Do(func() {
		r := c.m.Report()
		c.begun, c.ramp = r.Begun, r.LameDuck
	})
	elapsed := time.Since(c.begun)
	ramping := phase == shutdown.Leave && elapsed < c.ramp && (on == nil || !on.leaving())
	if ramping && rand.Float64() >= float64(elapsed)/float64(c.ramp) { //nolint:gosec // a share of responses, not a secret
		return false
	}
	return on == nil || on.leave()
}

// A response sets "Connection: close" when its header is written and not when
// the request begins: long requests began before the shutdown.
type response struct {
	http.ResponseWriter
	closing *closing
	streams *streams // of HTTP/2
	wrote   bool     // the header

	// For TaskName; none of it changes.
	mux                         *http.ServeMux
	method, host, path, pattern string
}

// headerDue comes before everything that writes the header.
func (w *response) headerDue(status int) {
	if w.wrote || status < 200 { // 1xx is not the header yet, or of a protocol with rules of its own
		return
	}
	w.wrote = true
	if w.closing.now(w.streams) {
		w.Header().Set("Connection", "close")
	}
	if w.streams != nil {
		w.streams.answer()
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

// FlushError is what http.ResponseController looks for.
func (w *response) FlushError() error {
	w.headerDue(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// hijackable is a response that keeps what HTTP/1 has.
type hijackable struct {
	response
	inner http.Hijacker
}

// CloseNotify is deprecated and yet called by some without asking.
func (w *hijackable) CloseNotify() <-chan bool { return closeNotify(w.ResponseWriter) }

// Flush is http.Flusher.
func (w *hijackable) Flush() { _ = w.FlushError() }

// pushable is a response that keeps what HTTP/2 has.
type pushable struct {
	flushable
	http.Pusher
}

func (w *pushable) CloseNotify() <-chan bool { return closeNotify(w.ResponseWriter) }

type flushable struct{ *response }

func (w flushable) Flush() { _ = w.FlushError() }

func closeNotify(w http.ResponseWriter) <-chan bool {
	if n, ok := w.(http.CloseNotifier); ok { //nolint:staticcheck // whoever calls it knows, or not
		return n.CloseNotify()
	}
	return nil
}

// asGoodAs returns w with those of the optional methods that inner has.
func (w *hijackable) asGoodAs(inner http.ResponseWriter) http.ResponseWriter {
	if h, ok := inner.(http.Hijacker); ok {
		w.inner = h
		return w
	}
	if p, ok := inner.(http.Pusher); ok {
		return &pushable{flushable{&w.response}, p}
	}
	if _, ok := inner.(http.Flusher); ok {
		return flushable{&w.response}
	}
	return &w.response
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
	if inner, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return inner.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{w.ResponseWriter}, r)
}

package httpserver

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"unicode"

	"github.com/gracefulgo/shutdown/internal/inflight"
)

// A request is one that is being handled.
type request struct {
	handler  *tracked
	conn     *conn // nil if the server is not ours
	task     inflight.Task
	named    atomic.Pointer[string] // by SetName
	upgrades bool                   // to x/net's h2c, if it is there
	untracks atomic.Bool            // Untrack has been called
	goesOn   atomic.Bool            // its header has been sent, and said that the connection goes on

	// For TaskName; none of it changes. The http.Request is the handler's.
	proto                       int
	method, host, path, pattern string
}

// SetName gives the request whose context ctx is, or derives from, the name that
// logs and reports have for it while it is in flight: "GET /orders/{id}" and not
// its path. It is for routers that are no http.ServeMux, and may be called by a
// middleware of theirs, at any time until the handler returns; the last name
// counts. A long one is shortened. Without a request that is tracked, or after the
// end of its context, it does nothing.
func SetName(ctx context.Context, name string) {
	if q := requestOf(ctx); q != nil {
		name = printable(name)
		q.named.Store(&name)
	}
}

// Untrack takes the request whose context ctx is, or derives from, out of what the
// shutdown waits for: it is neither in flight nor cut off any more. It is for
// what has no end, or whose end nobody needs, such as a profile. Its context still
// ends with [shutdown.Manager.WorkContext]. Under Start its connection is closed
// when all other requests of its server have ended. A second call does nothing,
// nor does one without a request that is tracked, or after the end of its context:
// what has been cut off remains so.
func Untrack(ctx context.Context) {
	q := requestOf(ctx)
	if q == nil || q.untracks.Swap(true) {
		return
	}
	q.handler.inFlight.End(q.task)
	if q.conn != nil {
		q.handler.conns.untracked(q.conn)
	}
}

// requestOf returns nil if there is none. A context that has outlived its request
// finds the next one on the connection, but has ended before that began.
func requestOf(ctx context.Context) *request {
	q, _ := ctx.Value(requestKey{}).(*request)
	if ctx.Err() != nil {
		return nil
	}
	return q
}

const (
	maxName   = 120
	maxMethod = 20
)

// TaskName is what logs call the request: method and pattern, or path. The
// query is left out: it may hold secrets, and tells nobody what the service is
// busy with.
func (q *request) TaskName() string {
	if name := q.named.Load(); name != nil {
		return *name
	}
	what := q.pattern
	if mux := q.handler.mux; mux != nil {
		_, what = mux.Handler(&http.Request{Method: q.method, Host: q.host, URL: &url.URL{Path: q.path}})
	}
	if what == "" {
		what = printable(q.path)
	}
	if method, _, ok := strings.Cut(what, " "); ok && !strings.Contains(method, "/") {
		return what // a pattern that has a method
	}
	return cut(q.method, maxMethod) + " " + what
}

// printable is a name with which nobody can forge lines of a log, or fill it.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		name = (&url.URL{Path: name}).EscapedPath()
	}
	return cut(name, maxName)
}

func cut(s string, limit int) string {
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}

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

// A request is a request in progress.
type request struct {
	handler    *handler
	conn       *conn // nil under Middleware
	task       inflight.Task
	named      atomic.Pointer[string] // by SetName
	http1      bool                   // and not HTTP/2 or HTTP/3
	upgrades   bool                   // to h2c of golang.org/x/net, if the handler is that
	untracked  atomic.Bool            // Untrack has been called
	keepsAlive atomic.Bool            // its header has been sent without "Connection: close"

	// For TaskName. They do not change, unlike the fields of the http.Request, which
	// belongs to the handler.
	method, host, path, pattern string
}

// SetName gives a request another name in logs and reports, such as
// "GET /orders/{id}" instead of its path. Call it in a middleware of a router that is not
// an http.ServeMux. ctx is the context of the request or derives from it. SetName may be
// called until the handler returns, also during the shutdown; the last name counts. A
// long name is shortened. SetName does nothing if the request is not tracked or its
// context has ended.
func SetName(ctx context.Context, name string) {
	if q := requestOf(ctx); q != nil {
		name = printable(name)
		q.named.Store(&name)
	}
}

// Untrack excludes a request from what the shutdown waits for: it is no longer in
// flight, and it is not reported if it is cut off. Use it for requests that do not end
// by themselves or whose end does not matter, such as a profile. ctx is the context of
// the request or derives from it. The context still ends with
// [shutdown.Manager.WorkContext]. Under Start, the connection is closed when all other
// requests of the server have ended.
//
// A second call does nothing. Nor does a call for a request that is not tracked, or whose
// context has ended: a request that has been cut off stays in the report.
func Untrack(ctx context.Context) {
	q := requestOf(ctx)
	if q == nil || q.untracked.Swap(true) {
		return
	}
	q.handler.inFlight.End(q.task)
	if q.conn != nil {
		q.handler.conns.addUntracked(q.conn)
	}
}

// requestOf returns nil if there is no request. A context that is kept after its request
// would find the next request on the connection, but it has ended before that started.
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

// TaskName returns the method and the pattern, or the path without a pattern. It omits the
// query, which may hold secrets and does not tell what the service is doing.
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
		return what // the pattern has a method
	}
	return cut(q.method, maxMethod) + " " + what
}

// printable returns a name that cannot forge lines of a log or fill it.
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

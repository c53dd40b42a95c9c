package httpserver_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

// tasks answers with the names of what is in flight, which is this request.
func tasks(m *shutdown.Manager) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Join(taskNames(m), "\n"))
	}
}

func TestARequestIsNamedByMethodAndPattern(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	mux := http.NewServeMux()
	for _, pattern := range []string{
		"GET /orders/{id}", "/any/{rest...}", "POST example.com/hosted", "GET /exact/{$}", "example.com/all/{x}", "DELETE /orders/{id}",
	} {
		mux.Handle(pattern, tasks(m))
	}
	inner := http.NewServeMux()
	inner.Handle("/inner/{x}", tasks(m))
	mux.Handle("/inner/", inner)
	addr := start(t, m, &http.Server{Handler: mux})

	for request, name := range map[string]string{
		"GET /orders/17":              "GET /orders/{id}",
		"GET /orders/17?token=secret": "GET /orders/{id}",
		"DELETE /orders/17":           "DELETE /orders/{id}",
		"GET /any/a/b":                "GET /any/{rest...}",
		"PATCH /any/":                 "PATCH /any/{rest...}",
		"POST /hosted":                "POST example.com/hosted",
		"GET /exact/":                 "GET /exact/{$}",
		"GET /all/17":                 "GET example.com/all/{x}",
		"GET /inner/17":               "GET /inner/", // the pattern of the outer mux; the inner one has not been asked yet
	} {
		method, path, _ := strings.Cut(request, " ")
		c := dialRaw(t, addr)
		c.send(method + " " + path + " HTTP/1.1\r\nHost: example.com\r\n\r\n")
		require.Equal(t, name, c.response().body, request)
	}
}

func TestAHEADRequestHasTheNameOfItsGETPattern(t *testing.T) {
	t.Parallel()
	m, g := manager(t, shutdown.Config{}), newGate(t)
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", g)
	c := dialRaw(t, start(t, m, &http.Server{Handler: mux}))
	c.send("HEAD /orders/17 HTTP/1.1\r\nHost: test\r\n\r\n")
	within(t, "the request", g.entered)
	require.Equal(t, []string{"GET /orders/{id}"}, taskNames(m))
}

func TestWithoutAMuxARequestIsNamedByItsPath(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	addr := start(t, m, handle(tasks(m)))
	long := "/" + strings.Repeat("x", 200)
	for target, name := range map[string]string{
		"/orders/17":                        "/orders/17",
		"/orders/17?token=secret":           "/orders/17",
		"/with%20space?token=secret":        "/with space",
		"http://example.com/absolute?s":     "/absolute",
		long:                                long[:120] + "...",
		"/" + strings.Repeat("%C3%A4", 100): "/" + strings.Repeat("ä", 59) + "...", // a character is not cut in half
	} {
		c := dialRaw(t, addr)
		c.get(target)
		require.Equal(t, "GET "+name, c.response().body)
	}
}

func TestARequestThatNoPatternMatchesIsNamedByItsPath(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	var names []string
	mux := http.NewServeMux()
	mux.Handle("/redirected/", http.NotFoundHandler())
	srv := &http.Server{Handler: mux}
	addr := start(t, m, srv)
	// Only a handler around the mux sees the responses of the mux itself.
	inner := srv.Handler
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(spy{w, func() { names = taskNames(m) }}, r)
	}))
	defer h.Close()
	_ = addr
	require.Equal(t, 404, get(t, newClient(t), h.URL+"/nowhere?token=secret").status)
	require.Equal(t, []string{"GET /nowhere"}, names)
	c := dialRaw(t, strings.TrimPrefix(h.URL, "http://"))
	c.get("/redirected?token=secret")
	require.Contains(t, []int{301, 307}, c.response().status)
	require.Equal(t, []string{"GET /redirected/"}, names)
}

// A spy calls a function when the header is written.
type spy struct {
	http.ResponseWriter
	look func()
}

func (s spy) WriteHeader(status int) {
	s.look()
	s.ResponseWriter.WriteHeader(status)
}

func TestNoHandlerMeansTheDefaultServeMux(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	registerDefault()
	addr := start(t, m, &http.Server{})
	require.Equal(t, "GET /default-serve-mux/{x}", get(t, newClient(t), "http://"+addr+"/default-serve-mux/17").body)
}

// registerDefault registers the handler once in the process.
var registerDefault = sync.OnceFunc(func() {
	http.HandleFunc("GET /default-serve-mux/{x}", func(w http.ResponseWriter, r *http.Request) {
		m, _ := shutdown.FromContext(r.Context())
		tasks(m)(w, r)
	})
})

func TestANameIsShortAndHasOneLine(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	addr := start(t, m, handle(tasks(m)))
	t.Run("whatever the method", func(t *testing.T) {
		c := dialRaw(t, addr)
		c.send(strings.Repeat("X", 100_000) + " / HTTP/1.1\r\nHost: test\r\n\r\n")
		require.Less(t, len(c.response().body), 300)
	})
	t.Run("whatever the path", func(t *testing.T) {
		c := dialRaw(t, addr)
		c.get("/x%0Ashutdown:%20finished%1B%5B2J")
		name := c.response().body
		require.NotContains(t, name, "\n")
		require.NotContains(t, name, "\x1b")
	})
}

func TestMiddlewareWithinStartCountsARequestOnce(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	mux := http.NewServeMux()
	mux.Handle("/x/{y}", httpserver.Middleware(m)(httpserver.Middleware(m)(tasks(m))))
	addr := start(t, m, &http.Server{Handler: httpserver.Middleware(m)(mux)})
	// The mux is behind a Middleware, so the server does not see it.
	require.Equal(t, "GET /x/17", get(t, newClient(t), "http://"+addr+"/x/17").body)
}

func TestMiddlewaresOfTwoManagersBothCount(t *testing.T) {
	t.Parallel()
	outer, inner := manager(t, shutdown.Config{}), manager(t, shutdown.Config{})
	srv := httptest.NewServer(httpserver.Middleware(outer)(httpserver.Middleware(inner)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, _ := shutdown.FromContext(r.Context())
		_, _ = io.WriteString(w, strings.Join(append(taskNames(outer), taskNames(inner)...), ", "))
		if m != inner {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))))
	defer srv.Close()
	require.Equal(t, "GET /x, GET /x", get(t, newClient(t), srv.URL+"/x").body)
}

func TestMiddlewareWithoutStart(t *testing.T) {
	t.Parallel()
	m, g := manager(t, shutdown.Config{}), newGate(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/x/{y}", func(w http.ResponseWriter, r *http.Request) {
		if found, ok := shutdown.FromContext(r.Context()); !ok || found != m {
			w.WriteHeader(http.StatusInternalServerError)
		}
		tasks(m)(w, r)
	})
	mux.Handle("/held", g)
	// Behind another mux, the pattern is the one of that mux.
	outer := http.NewServeMux()
	outer.Handle("/x/{z}", httpserver.Middleware(m)(tasks(m)))

	srv := httptest.NewServer(httpserver.Middleware(m)(mux))
	defer srv.Close()
	behind := httptest.NewServer(outer)
	defer behind.Close()
	c := newClient(t)

	require.Equal(t, reply{status: 200, proto: 1, body: "GET /x/{y}"}, get(t, c, srv.URL+"/x/17"))
	require.Equal(t, reply{status: 200, proto: 1, body: "GET /x/{z}"}, get(t, c, behind.URL+"/x/17"))

	inFlight := later(t, newClient(t), srv.URL+"/held")
	within(t, "the request", g.entered)
	ended := wait(m)
	m.Begin(nil)
	waitPhase(t, m, shutdown.Drain)
	r := get(t, c, srv.URL+"/x/17")
	require.Equal(t, 200, r.status, "as long as another request is in flight")
	require.True(t, r.close)
	require.Empty(t, ended)
	g.Open()
	require.Equal(t, reply{status: 200, close: true, proto: 1, body: "held"}, within(t, "the reply", inFlight))
	require.NoError(t, within(t, "the end", ended))

	r = get(t, newClient(t), srv.URL+"/x/17")
	require.Equal(t, 503, r.status)
	require.True(t, r.close)
}

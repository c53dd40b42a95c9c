package thirdparty

import (
	"io"
	"net/http"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/justinas/alice"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

// A gate holds requests until it is opened.
type gate struct {
	entered chan struct{} // gets a value for each request
	open    chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}, 100), make(chan struct{})} }

func (g *gate) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	g.entered <- struct{}{}
	<-g.open
	_, _ = io.WriteString(w, "held")
}

// named is a middleware of a chi route, which sets the name of a request. It runs
// after chi has found the route, so the pattern is known.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpserver.SetName(r.Context(), r.Method+" "+chi.RouteContext(r.Context()).RoutePattern())
		next.ServeHTTP(w, r)
	})
}

var routers = map[string]func(m *shutdown.Manager, g *gate) http.Handler{
	"chi": func(m *shutdown.Manager, g *gate) http.Handler {
		r := chi.NewRouter()
		r.Use(httpserver.Middleware(m), middleware.Compress(5))
		r.With(named).Get("/orders/{id}", g.ServeHTTP)
		return r
	},
	"chi, a router in a router": func(m *shutdown.Manager, g *gate) http.Handler {
		inner := chi.NewRouter()
		inner.With(named).Get("/{id}", g.ServeHTTP)
		r := chi.NewRouter()
		r.Use(httpserver.Middleware(m), httpserver.Middleware(m)) // twice, as if by mistake
		r.Mount("/orders", inner)
		return r
	},
	"alice": func(m *shutdown.Manager, g *gate) http.Handler {
		name := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				httpserver.SetName(r.Context(), "GET /orders/{id}")
				next.ServeHTTP(w, r)
			})
		}
		return alice.New(httpserver.Middleware(m), name).Then(g)
	},
}

func TestARequestHasTheNameOfItsRoute(t *testing.T) {
	for name, router := range routers {
		for _, how := range []string{"under Start", "with Middleware alone"} {
			t.Run(name+" "+how, func(t *testing.T) {
				m, g := manager(t, shutdown.Config{}, nil), newGate()
				srv := &http.Server{Handler: router(m, g)}
				var addr string
				if how == "under Start" {
					addr = start(t, m, srv)
				} else {
					ln := listen(t)
					served := make(chan error, 1)
					go func() { served <- srv.Serve(ln) }()
					t.Cleanup(func() {
						srv.Close()
						within(t, "the end of Serve", served)
					})
					addr = ln.Addr().String()
				}
				answer := later(t, client(t, &http.Transport{}), "http://"+addr+"/orders/17")
				within(t, "the handler", g.entered)

				require.Equal(t, []string{"GET /orders/{id}"}, taskNames(m), "one request is one task")
				m.Begin(nil)
				<-m.Reached(shutdown.Drain)
				ended := wait(m)
				require.Equal(t, []string{"GET /orders/{id}"}, taskNames(m))
				close(g.open)
				got := within(t, "the answer", answer)
				require.NoError(t, got.err)
				require.Equal(t, "held", got.body)
				require.True(t, got.close, "the response has Connection: close")
				require.NoError(t, within(t, "the end of the shutdown", ended))
			})
		}
	}
}

// A middleware that chi runs before routing does not know the pattern yet. It can set
// the name after the handler has returned, for later log lines.
func TestSetNameWorksAfterTheHandlerHasReturned(t *testing.T) {
	m, g := manager(t, shutdown.Config{}, nil), newGate()
	named, leave := make(chan struct{}), make(chan struct{})
	r := chi.NewRouter()
	r.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			httpserver.SetName(r.Context(), r.Method+" "+chi.RouteContext(r.Context()).RoutePattern())
			close(named)
			<-leave
		})
	})
	r.Get("/orders/{id}", g.ServeHTTP)
	addr := start(t, m, &http.Server{Handler: r})
	answer := later(t, client(t, &http.Transport{}), "http://"+addr+"/orders/17")
	within(t, "the handler", g.entered)
	require.Equal(t, []string{"GET /orders/17"}, taskNames(m))
	close(g.open)
	within(t, "the name", named)
	require.Equal(t, []string{"GET /orders/{id}"}, taskNames(m))
	close(leave)
	require.NoError(t, within(t, "the answer", answer).err)
	require.NoError(t, end(t, m))
}

package httpserver_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

func TestAnUntrackedRequestDoesNotDelayTheDrain(t *testing.T) {
	for name, proto := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, g, endless := manager(t, shutdown.Config{}), newGate(t), newGate(t)
			mux := http.NewServeMux()
			mux.Handle("/work", g)
			mux.HandleFunc("/profile", func(w http.ResponseWriter, r *http.Request) {
				httpserver.Untrack(r.Context())
				httpserver.Untrack(r.Context())
				_, _ = io.WriteString(w, "profile")
				_ = http.NewResponseController(w).Flush()
				endless.ServeHTTP(w, r)
			})
			srv := &http.Server{Handler: mux}
			var s *httpserver.Server
			url := proto.serve(t, srv, func(ln net.Listener) { s = startOn(t, m, srv, ln) })
			profile := later(t, proto.client(t), url+"/profile")
			within(t, "the profile", endless.entered)
			work := later(t, proto.client(t), url+"/work")
			within(t, "the work", g.entered)
			require.Equal(t, []string{"GET /work"}, taskNames(m))

			ended := wait(m)
			m.Begin(nil)
			waitRefused(t, s.Addr().String())
			require.Empty(t, profile, "another request is in flight")
			g.Open()
			require.Equal(t, 200, within(t, "the work", work).status)
			require.NoError(t, within(t, "the end", ended), "the untracked request is not reported as cut off")
			require.Error(t, within(t, "the profile", profile).err)
			require.Empty(t, m.Report().CutOff)
			within(t, "the drain", s.Drained())
		})
	}
}

// The connection has another request when the context of the first one is used.
func TestAContextKeptAfterItsRequestDoesNotAffectTheNextRequest(t *testing.T) {
	for name, proto := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, g := manager(t, shutdown.Config{}), newGate(t)
			kept := make(chan context.Context, 1)
			mux := http.NewServeMux()
			mux.HandleFunc("/first", func(_ http.ResponseWriter, r *http.Request) { kept <- r.Context() })
			mux.Handle("/second", g)
			srv := &http.Server{Handler: mux}
			url, c := proto.serve(t, srv, func(ln net.Listener) { startOn(t, m, srv, ln) }), proto.client(t)
			require.Equal(t, 200, get(t, c, url+"/first").status)
			second := later(t, c, url+"/second")
			within(t, "the second request", g.entered)
			old := within(t, "the context", kept)
			httpserver.Untrack(old)
			httpserver.SetName(old, "another")
			require.Equal(t, []string{"GET /second"}, taskNames(m))
			g.Open()
			require.True(t, within(t, "the answer", second).reused)
		})
	}
}

func TestWithoutARequestUntrackAndSetNameDoNothing(t *testing.T) {
	httpserver.Untrack(t.Context())
	httpserver.SetName(t.Context(), "name")
}

func TestSetNameNamesTheRequest(t *testing.T) {
	for name, proto := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := manager(t, shutdown.Config{})
			srv := handle(func(w http.ResponseWriter, r *http.Request) {
				httpserver.SetName(r.Context(), "GET /other")
				httpserver.SetName(r.Context(), "GET /orders/{id}"+r.URL.Query().Get("more"))
				tasks(m)(w, r)
			})
			url, c := proto.serve(t, srv, func(ln net.Listener) { startOn(t, m, srv, ln) }), proto.client(t)
			require.Equal(t, "GET /orders/{id}", get(t, c, url+"/orders/17").body)
			require.NotContains(t, get(t, c, url+"/orders/17?more=%0A").body, "\n", "a name cannot forge lines of a log")
		})
	}
}

package httpserver_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

// The name is made when the request ends or when it is needed: at the start of the
// request the mux has not been asked yet.
func TestARequestThatReturnsAfterItWasCutOffIsReportedByName(t *testing.T) {
	giveUp := func(began chan<- struct{}) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			began <- struct{}{}
			<-r.Context().Done()
			r.URL.Path, r.Pattern, r.Method = "/of/the/handler", "", "" // the handler may change its request
		}
	}
	muxOf := func(pattern string, h http.Handler) *http.ServeMux {
		mux := http.NewServeMux()
		mux.Handle(pattern, h)
		return mux
	}
	for name, test := range map[string]struct {
		handler func(http.Handler) http.Handler
		want    string
	}{
		"a mux":                  {func(h http.Handler) http.Handler { return muxOf("/orders/{id}", h) }, "GET /orders/{id}"},
		"a mux, with the method": {func(h http.Handler) http.Handler { return muxOf("GET /orders/{id}", h) }, "GET /orders/{id}"},
		"a mux in a mux": {func(h http.Handler) http.Handler {
			return muxOf("/orders/", http.StripPrefix("/orders", muxOf("/{id}", h)))
		}, "GET /orders/"},
		// A mux that the server does not see sets the pattern in the handler's request,
		// which the server does not read.
		"a mux behind middleware": {func(h http.Handler) http.Handler {
			mux := muxOf("/orders/{id}", h)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mux.ServeHTTP(w, r) })
		}, "GET /orders/17"},
		"no mux": {func(h http.Handler) http.Handler { return h }, "GET /orders/17"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log testlog.Buffer
				cfg := short
				cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
				m, network := manager(t, cfg), newPipeNet()
				began := make(chan struct{}, 1)
				startOn(t, m, &http.Server{Handler: test.handler(giveUp(began))}, network)
				network.dialRaw(t).get("/orders/17?token=secret")
				within(t, "the request", began)
				ended := wait(m)
				m.Begin(nil)
				<-m.Reached(shutdown.Close)
				require.Empty(t, m.Tasks(), "the handler has returned")
				err := within(t, "the end", ended)
				requireOutcome(t, m, &log, err, deadline, []string{test.want})
				require.NotContains(t, log.String(), "secret")
			})
		})
	}
}

func TestTheErrorNamesAtMost64RequestsThatWereCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 70
		m := manager(t, short)
		began := make(chan struct{}, n)
		h := httpserver.Middleware(m)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			began <- struct{}{}
			<-r.Context().Done()
		}))
		for i := range n {
			go h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, fmt.Sprintf("/orders/%d", i), nil))
		}
		for range n {
			within(t, "the request", began)
		}
		err := end(t, m)
		require.ErrorContains(t, err, "70 tasks cut off: GET /orders/")
		require.ErrorContains(t, err, " and 6 more")
		require.Equal(t, 64, strings.Count(err.Error(), "GET /orders/"))
		require.Len(t, m.Report().CutOff, n)
	})
}

package httpserver_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The functions given to RegisterOnShutdown run in every shutdown, as soon as calling
// http.Server.Shutdown loses no request.
func TestFunctionsGivenToRegisterOnShutdownRun(t *testing.T) {
	stream := func(w http.ResponseWriter, r *http.Request, over <-chan struct{}) {
		_ = http.NewResponseController(w).Flush()
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}
	for name, test := range map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request, called <-chan struct{})
		ends  time.Duration // when the drain ends
		fails bool
	}{
		"nothing is in flight":                           {nil, 100 * time.Millisecond, false},
		"a stream that ends because of them":             {stream, 1700 * time.Millisecond, false},
		"a request whose response has Connection: close": {func(_ http.ResponseWriter, _ *http.Request, called <-chan struct{}) { <-called }, 200 * time.Millisecond, false},
		"a request that is cut off":                      {func(_ http.ResponseWriter, r *http.Request, _ <-chan struct{}) { <-r.Context().Done() }, time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, network := manager(t, short), newPipeNet()
				began, called := make(chan struct{}), make(chan struct{})
				srv := handle(func(w http.ResponseWriter, r *http.Request) {
					close(began)
					test.serve(w, r, called)
				})
				var at time.Time
				srv.RegisterOnShutdown(func() { at = time.Now(); close(called) })
				startOn(t, m, srv, counted(network))
				if test.serve != nil {
					network.dialRaw(t).get("/")
					within(t, "the request", began)
					synctest.Wait() // the stream has sent its header
				}
				begun := time.Now()
				err := end(t, m)
				require.Equal(t, test.fails, err != nil, "%v", err)
				require.Less(t, time.Since(begun), test.ends+50*time.Millisecond) // the listener takes 50 ms
				within(t, "the function", called)
				if name == "a stream that ends because of them" {
					require.Greater(t, at.Sub(begun), 1500*time.Millisecond, "before that, another request might be behind the stream")
				}
			})
		})
	}
}

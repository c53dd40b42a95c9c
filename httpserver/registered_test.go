package httpserver_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The functions that are given to RegisterOnShutdown run in every shutdown, as soon
// as nobody loses a request by it.
func TestFunctionsGivenToRegisterOnShutdownRun(t *testing.T) {
	stream := func(w http.ResponseWriter, r *http.Request, over <-chan struct{}) {
		_ = http.NewResponseController(w).Flush()
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}
	for name, test := range map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request, told <-chan struct{})
		ends  time.Duration // of the drain
		fails bool
	}{
		"nothing is in flight":                     {nil, 100 * time.Millisecond, false},
		"a stream that ends with them":             {stream, 1700 * time.Millisecond, false},
		"a request whose client is asked to leave": {func(_ http.ResponseWriter, _ *http.Request, told <-chan struct{}) { <-told }, 200 * time.Millisecond, false},
		"a request that is cut off":                {func(_ http.ResponseWriter, r *http.Request, _ <-chan struct{}) { <-r.Context().Done() }, time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, network := manager(t, short), newPipeNet()
				began, told := make(chan struct{}), make(chan struct{})
				srv := handle(func(w http.ResponseWriter, r *http.Request) {
					close(began)
					test.serve(w, r, told)
				})
				var at time.Time
				srv.RegisterOnShutdown(func() { at = time.Now(); close(told) })
				startOn(t, m, srv, counted(network))
				if test.serve != nil {
					network.dialRaw(t).get("/")
					within(t, "the request", began)
					synctest.Wait() // the stream has sent its header
				}
				begun := time.Now()
				err := end(t, m)
				require.Equal(t, test.fails, err != nil, "%v", err)
				require.Less(t, time.Since(begun), test.ends+50*time.Millisecond) // which are the listener's
				within(t, "the function", told)
				if name == "a stream that ends with them" {
					require.Greater(t, at.Sub(begun), 1500*time.Millisecond, "others might have a request behind them")
				}
			})
		})
	}
}

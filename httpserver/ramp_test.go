package httpserver_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

func TestDuringTheLameDuckAGrowingShareOfResponsesHasConnectionClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lameDuck, pause = time.Second, time.Millisecond
		m, network := manager(t, shutdown.Config{LameDuck: lameDuck}), newPipeNet()
		startOn(t, m, handle(func(http.ResponseWriter, *http.Request) {}), network)
		c := network.client(t, protocols["HTTP/1.1"])
		for range 50 {
			r := get(t, c, "http://pipe")
			require.NoError(t, r.err)
			require.False(t, r.close, "before the shutdown")
		}

		freeze := frozen(t, m)
		var closed [rampParts + 1]float64 // responses in each part of the lame duck, and after it
		const each = int(lameDuck / pause / rampParts)
		for part := range closed {
			for range each {
				r := get(t, c, "http://pipe")
				require.NoError(t, r.err)
				if r.close {
					closed[part]++
				}
				time.Sleep(pause)
			}
		}
		t.Log("with Connection: close:", closed, "of", each)
		// The share grows linearly, so these are the means. The bounds are six standard
		// deviations away.
		for part, mean := range []float64{0.125, 0.375, 0.625, 0.875} {
			require.InDelta(t, mean, closed[part]/float64(each), 0.2)
		}
		require.InDelta(t, each, closed[rampParts], 0, "after the lame duck")
		freeze.Open()
		require.NoError(t, end(t, m))
	})
}

const rampParts = 4

func TestWithoutALameDuckAllResponsesHaveConnectionClose(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{LameDuck: -1})
	addr := start(t, m, handle(func(http.ResponseWriter, *http.Request) {}))
	freeze := frozen(t, m)
	for range 50 {
		require.True(t, get(t, newClient(t), "http://"+addr).close)
	}
	freeze.Open()
	require.NoError(t, end(t, m))
}

package httpserver_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

func TestInLameDuckAGrowingShareOfClientsIsAskedToLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lameDuck, pause = time.Second, time.Millisecond
		m, network := manager(t, shutdown.Config{LameDuck: lameDuck}), newPipeNet()
		startOn(t, m, handle(func(http.ResponseWriter, *http.Request) {}), network)
		c := network.client(t, protocols["HTTP/1.1"])
		for range 50 {
			r := get(t, c, "http://pipe")
			require.NoError(t, r.err)
			require.False(t, r.close, "before the beginning nobody is asked")
		}

		freeze := frozen(t, m)
		var asked [rampParts + 1]float64 // in each part of the lame duck, and after it
		const each = int(lameDuck / pause / rampParts)
		for part := range asked {
			for range each {
				r := get(t, c, "http://pipe")
				require.NoError(t, r.err)
				if r.close {
					asked[part]++
				}
				time.Sleep(pause)
			}
		}
		t.Log("asked to leave:", asked, "of", each)
		// The share grows evenly, so these are the means. The bounds are six
		// standard deviations away.
		for part, mean := range []float64{0.125, 0.375, 0.625, 0.875} {
			require.InDelta(t, mean, asked[part]/float64(each), 0.2)
		}
		require.InDelta(t, each, asked[rampParts], 0, "after it everybody")
		freeze.Open()
		require.NoError(t, end(t, m))
	})
}

const rampParts = 4

func TestWithoutALameDuckEverybodyIsAskedToLeaveAtOnce(t *testing.T) {
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

package httpserver_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lingerBound is three times the maximum of the linger, 1 s, and less than the time that
// net/http waits.
const lingerBound = 3 * time.Second

// A stopwatch counts ticks, as the linger does: on a machine that is short of CPU, both
// take longer.
type stopwatch struct {
	t     testing.TB
	stop  func()
	ticks *atomic.Int64
}

func startWatch(t testing.TB) stopwatch {
	var ticks atomic.Int64
	quit := make(chan struct{})
	stop := sync.OnceFunc(func() { close(quit) })
	t.Cleanup(stop)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				ticks.Add(1)
			case <-quit:
				return
			}
		}
	}()
	return stopwatch{t, stop, &ticks}
}

// requireLinger fails if more time has passed than the linger may take.
func (w stopwatch) requireLinger() {
	w.t.Helper()
	w.stop()
	took := time.Duration(w.ticks.Load()) * 5 * time.Millisecond
	require.Less(w.t, took, lingerBound)
}

package httpserver_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

func TestInLameDuckAGrowingShareOfClientsIsAskedToLeave(t *testing.T) {
	t.Parallel()
	// A machine that stands still for a quarter of a second answers nobody in
	// it: such a run says nothing.
	for range 20 {
		s := sampleRamp(t, time.Second)
		t.Log("asked to leave:", s.asked, "of", s.answered)
		if !s.telling() {
			continue
		}
		// An eighth on average in the first quarter, seven eighths in the last; at
		// its other end it would be a quarter.
		require.Less(t, s.share(0), 0.45)
		require.Greater(t, s.share(3), 0.55)
		require.Less(t, s.share(0), s.share(2))
		require.Less(t, s.share(1), s.share(3))
		require.InDelta(t, 1, s.share(rampParts), 0, "after it everybody")
		return
	}
	t.Skip("this machine is too busy to tell")
}

const rampParts = 4

// A rampSample is how many responses there were in each part of the lame duck,
// and after it.
type rampSample struct{ asked, answered [rampParts + 1]float64 }

func (s rampSample) telling() bool {
	for _, n := range s.answered {
		if n < 60 {
			return false
		}
	}
	return true
}

func (s rampSample) share(part int) float64 { return s.asked[part] / s.answered[part] }

func sampleRamp(t *testing.T, lameDuck time.Duration) (s rampSample) {
	t.Helper()
	m := manager(t, shutdown.Config{LameDuck: lameDuck})
	// What counts is when the handler answered, not when the client heard of it.
	addr := start(t, m, handle(func(w http.ResponseWriter, _ *http.Request) {
		if begun := m.Report().Begun; !begun.IsZero() {
			w.Header().Set("Elapsed", time.Since(begun).String())
		}
	}))
	c := newClient(t)
	for range 50 {
		r := get(t, c, "http://"+addr)
		require.NoError(t, r.err)
		require.False(t, r.close, "before the beginning nobody is asked")
	}

	freeze := frozen(t, m)
	var mu sync.Mutex
	var clients sync.WaitGroup
	for range 4 {
		c := newClient(t)
		clients.Go(func() {
			for {
				resp, err := c.Get("http://" + addr)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				elapsed, _ := time.ParseDuration(resp.Header.Get("Elapsed"))
				part := min(int(elapsed*rampParts/lameDuck), rampParts)
				mu.Lock()
				s.answered[part]++
				if resp.Close {
					s.asked[part]++
				}
				over := s.answered[rampParts] >= 200
				mu.Unlock()
				if over {
					return
				}
			}
		})
	}
	clients.Wait()
	freeze.Open()
	require.NoError(t, end(t, m))
	return s
}

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

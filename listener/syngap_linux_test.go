package listener

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/loopback"
)

// BenchmarkSYNGap measures how long a client that dials gets no answer, while 32 clients
// dial all the time.
func BenchmarkSYNGap(b *testing.B) {
	var took []time.Duration
	for b.Loop() {
		took = append(took, measureSYNGap(b))
	}
	slices.Sort(took)
	var sum time.Duration
	for _, d := range took {
		sum += d
	}
	b.ReportMetric(float64((sum / time.Duration(len(took))).Microseconds()), "mean-us")
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}

func measureSYNGap(b *testing.B) time.Duration {
	b.StopTimer()
	defer b.StartTimer()
	ln, err := Listen(b.Context(), "tcp", loopback.Addr())
	require.NoError(b, err)
	var loop sync.WaitGroup
	loop.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	})
	ctx, cancel := context.WithCancel(b.Context())
	var clients sync.WaitGroup
	for range 32 {
		clients.Go(func() {
			var dialer net.Dialer
			for {
				conn, err := dialer.DialContext(ctx, "tcp", ln.Addr().String())
				if err != nil {
					return
				}
				conn.Close()
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	require.NoError(b, ln.Drain(b.Context()))
	cancel()
	clients.Wait()
	loop.Wait()
	return ln.synGap
}

func TestTheSYNGapIsTheLongestRecentRoundTripTime(t *testing.T) {
	l := &Listener{inner: noListener{}}
	now := time.Now()
	for _, test := range []struct {
		rtt time.Duration
		gap time.Duration // 0 means that there is none
	}{
		{0, minSYNGap},
		{20 * time.Microsecond, minSYNGap},
		{200 * time.Microsecond, 200 * time.Microsecond},
		{time.Millisecond, time.Millisecond},
		{1001 * time.Microsecond, 0},
		{time.Second, 0},
	} {
		t.Run(fmt.Sprint(test.rtt), func(t *testing.T) {
			if test.rtt > 0 {
				l.rtt.add(test.rtt, now)
			}
			gap, ok := l.chooseSYNGap()
			require.Equal(t, test.gap > 0, ok)
			require.Equal(t, test.gap, gap)
		})
	}
}

type noListener struct{ net.Listener }

func (noListener) Addr() net.Addr { return nil }

func TestARoundTripTimeIsForgottenAfterTwoPeriods(t *testing.T) {
	var m maxRTT
	now := time.Now()
	m.add(time.Second, now)
	require.Equal(t, time.Second, m.get(now.Add(rttPeriod-1)))
	m.add(time.Millisecond, now.Add(rttPeriod))
	require.Equal(t, time.Second, m.get(now.Add(2*rttPeriod-1)))
	require.Equal(t, time.Millisecond, m.get(now.Add(2*rttPeriod)))
	require.Zero(t, m.get(now.Add(4*rttPeriod)))
}

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

// BenchmarkWindow measures for how long a client that dials is not answered, while
// 32 of them do so all the time.
func BenchmarkWindow(b *testing.B) {
	var took []time.Duration
	for b.Loop() {
		took = append(took, window(b))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}

func window(b *testing.B) time.Duration {
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
	return ln.deaf
}

func TestTheWindowIsAsLongAsHandshakesOfLate(t *testing.T) {
	l := &Listener{inner: noListener{}}
	at := time.Now()
	for _, test := range []struct {
		rtt    time.Duration
		window time.Duration // 0 is none
	}{
		{0, shortestWindow},
		{20 * time.Microsecond, shortestWindow},
		{200 * time.Microsecond, 200 * time.Microsecond},
		{time.Millisecond, time.Millisecond},
		{1001 * time.Microsecond, 0},
		{time.Second, 0},
	} {
		t.Run(fmt.Sprint(test.rtt), func(t *testing.T) {
			if test.rtt > 0 {
				l.slowest.add(test.rtt, at)
			}
			window, ok := l.window()
			require.Equal(t, test.window > 0, ok)
			require.Equal(t, test.window, window)
		})
	}
}

type noListener struct{ net.Listener }

func (noListener) Addr() net.Addr { return nil }

func TestAHandshakeOfTheMinuteBeforeTheLastIsForgotten(t *testing.T) {
	var s slowest
	at := time.Now()
	s.add(time.Second, at)
	require.Equal(t, time.Second, s.at(at.Add(slowestFor-1)))
	s.add(time.Millisecond, at.Add(slowestFor))
	require.Equal(t, time.Second, s.at(at.Add(2*slowestFor-1)))
	require.Equal(t, time.Millisecond, s.at(at.Add(2*slowestFor)))
	require.Zero(t, s.at(at.Add(4*slowestFor)))
}

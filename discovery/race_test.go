package discovery_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/discovery"
)

// The shutdown begins at a random time before, during or after a registration that
// may be slow, fail, lose its reply or panic. In no case is there an entry after the
// shutdown.
func TestAThousandShutdownsDuringRegisterLeaveNoEntry(t *testing.T) {
	var under, before, after int
	for seed := range uint64(1000) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 4)) //nolint:gosec // repeatable, not secret
			upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d + 1))) }
			m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second})
			connect, answer, outcome, cancellable := upTo(time.Second), upTo(time.Second), random.IntN(4), random.IntN(2) == 0
			failures := random.IntN(4)
			r := &registry{
				register: func(ctx context.Context, add func()) error {
					time.Sleep(connect)
					add()
					if cancellable {
						select {
						case <-time.After(answer):
						case <-ctx.Done():
							return ctx.Err()
						}
					} else {
						time.Sleep(answer)
					}
					switch outcome {
					case 0:
						return errRefused
					case 1:
						panic(errRefused)
					}
					return nil
				},
				deregister: func(_ context.Context, attempt int, remove func()) error {
					time.Sleep(10 * time.Millisecond)
					if attempt <= failures {
						return errRefused
					}
					remove()
					return nil
				},
			}
			at := upTo(2 * time.Second)
			if seed%10 == 0 {
				at = connect // at the same time
			}
			time.AfterFunc(at, func() { m.Begin(nil) })

			err := discovery.Register(t.Context(), m, r, instance{"orders-1"})
			if begun := m.Phase() != shutdown.Running; begun && r.count("register") == 0 {
				before++
			} else if begun {
				under++
				require.Error(t, err, "seed %d", seed)
			} else {
				after++
			}
			require.NoError(t, m.Wait(), "seed %d", seed)

			require.False(t, r.has("orders-1"), "seed %d: there is an entry", seed)
			require.False(t, r.overlapped(), "seed %d: Register and Deregister ran at the same time", seed)
			calls := r.count("register")
			time.Sleep(time.Hour)
			require.Equal(t, calls, r.count("register"), "seed %d: registered after the end", seed)
		})
	}
	t.Logf("the shutdown began %d times before, %d times during and %d times after the registration", before, under, after)
	require.Greater(t, under, 300)
	require.Greater(t, after, 100)
}

// The same in real time, for the race detector and for orders of events that virtual
// time does not have.
func TestAThousandConcurrentCallsOfBeginAndRegisterLeaveNoEntry(t *testing.T) {
	for range 1000 {
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		r := &registry{}
		go func() {
			for range rand.N(50) {
				m.Phase()
			}
			m.Begin(nil)
		}()
		err := discovery.Register(t.Context(), m, r, instance{"orders-1"})
		require.NoError(t, m.Wait())
		require.False(t, r.has("orders-1"))
		require.False(t, r.overlapped())
		if err == nil {
			require.Equal(t, 1, r.count("deregister"))
		}
	}
}

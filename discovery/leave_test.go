package discovery_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/discovery"
)

// others adds a Drain hook, a Close hook and a piece of in-flight work to m. The
// result reports whether all three have finished.
func others(m *shutdown.Manager) (done func() bool) {
	var drained, closed, answered bool
	m.On(shutdown.Drain, "port", func(context.Context) error { drained = true; return nil })
	m.On(shutdown.Close, "db", func(context.Context) error { closed = true; return nil })
	finish, _ := m.Track("GET /")
	go func() {
		<-m.AcceptContext().Done()
		time.Sleep(100 * time.Millisecond)
		answered = true
		finish()
	}()
	return func() bool { return drained && closed && answered }
}

func TestAFailedDeregistrationIsRetriedWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		r := &registry{deregister: func(_ context.Context, attempt int, remove func()) error {
			if attempt < 8 {
				return errRefused
			}
			remove()
			return nil
		}}
		require.NoError(t, discovery.Register(t.Context(), m, r, instance{"orders-1"}))

		begin := time.Now()
		m.Begin(nil)
		require.NoError(t, m.Wait(), "a retry that succeeds is no failure")

		require.False(t, r.has("orders-1"))
		ms := time.Millisecond
		require.Equal(t, []time.Duration{0, 50 * ms, 150 * ms, 350 * ms, 750 * ms, 1550 * ms, 2550 * ms, 3550 * ms}, r.times("deregister", begin))
	})
}

func TestTheServiceKeepsServingForHalfOfTheLameDuckAfterASlowDeregistration(t *testing.T) {
	ms := time.Millisecond
	for name, test := range map[string]struct{ lameDuck, takes, drain time.Duration }{
		"fast":                             {time.Second, 10 * ms, time.Second},
		"as long as half of the lame duck": {time.Second, 500 * ms, time.Second},
		"longer than half of it":           {time.Second, 700 * ms, 1200 * ms},
		"longer than all of it":            {time.Second, 3 * time.Second, 3500 * ms},
		"until the phase ends":             {5 * time.Second, 9 * time.Second, 9800 * ms},
		"without a lame duck":              {-1, 3 * time.Second, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second, LameDuck: test.lameDuck})
				r := &registry{deregister: func(_ context.Context, _ int, remove func()) error {
					time.Sleep(test.takes)
					remove()
					return nil
				}}
				require.NoError(t, discovery.Register(t.Context(), m, r, instance{"orders-1"}))
				var drain time.Duration
				var begin time.Time
				m.On(shutdown.Drain, "port", func(context.Context) error { drain = time.Since(begin); return nil })

				begin = time.Now()
				m.Begin(nil)
				require.NoError(t, m.Wait())

				require.Equal(t, test.drain, drain)
			})
		})
	}
}

func TestADeregistrationThatNeverSucceedsIsReportedAndTheShutdownContinues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		begin := time.Now()
		r := &registry{deregister: func(ctx context.Context, _ int, _ func()) error {
			if time.Since(begin) > 9*time.Second {
				<-ctx.Done() // at the end of the phase; this error says less than errRefused
				return ctx.Err()
			}
			return errRefused
		}}
		require.NoError(t, discovery.Register(t.Context(), m, r, instance{"orders-1"}))
		done := others(m)

		m.Begin(nil)
		err := m.Wait()

		require.ErrorIs(t, err, errRefused, "the reason, and not that the phase has ended")
		var hook *shutdown.HookError
		require.ErrorAs(t, err, &hook)
		require.Equal(t, shutdown.Leave, hook.Phase)
		require.True(t, done())
		// The Timeout is 27 s, of which 5.4 s are reserved for Close. Leave may use
		// half of the rest, and its hooks' context ends a tenth before that.
		require.WithinDuration(t, begin.Add(10800*time.Millisecond), time.Now(), 1200*time.Millisecond)
		require.False(t, step(t, m).Abandoned)
		require.ErrorIs(t, step(t, m).Err, errRefused)
		require.Equal(t, 1, shutdown.ExitCode(err))
	})
}

func TestADeregistrationAttemptThatHangsLeavesTimeForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		r := &registry{deregister: func(ctx context.Context, attempt int, remove func()) error {
			if attempt < 3 {
				<-ctx.Done() // as on a dead connection
				return ctx.Err()
			}
			remove()
			return nil
		}}
		require.NoError(t, discovery.Register(t.Context(), m, r, instance{"orders-1"}))

		m.Begin(nil)
		require.NoError(t, m.Wait())

		require.False(t, r.has("orders-1"))
	})
}

func TestADeregistrationThatIgnoresItsContextIsAbandonedAndTheShutdownContinues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		free := make(chan struct{})
		r := &registry{deregister: func(context.Context, int, func()) error {
			<-free
			return nil
		}}
		require.NoError(t, discovery.Register(t.Context(), m, r, instance{"orders-1"}))
		done := others(m)

		begin := time.Now()
		m.Begin(nil)
		err := m.Wait()

		require.ErrorIs(t, err, shutdown.ErrTimeout)
		require.True(t, done())
		require.Less(t, time.Since(begin), 12*time.Second)
		require.True(t, step(t, m).Abandoned)
		close(free)
	})
}

func TestADeregistrationThatPanicsIsReportedAndTheShutdownContinues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		r := &registry{deregister: func(context.Context, int, func()) error { panic(errRefused) }}
		require.NoError(t, discovery.Register(t.Context(), m, r, instance{"orders-1"}))
		done := others(m)

		m.Begin(nil)
		err := m.Wait()

		require.ErrorIs(t, err, errRefused)
		require.ErrorContains(t, err, "panic: connection refused")
		require.True(t, done())
	})
}

func TestAShutdownDuringRegisterLetsItFinishThenDeregisters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		var added time.Time
		r := &registry{register: func(ctx context.Context, add func()) error {
			time.Sleep(500 * time.Millisecond)
			require.NoError(t, ctx.Err(), "it has a second to finish")
			add()
			added = time.Now()
			return nil
		}}
		begin := time.Now()
		time.AfterFunc(100*time.Millisecond, func() { m.Begin(nil) })

		err := discovery.Register(t.Context(), m, r, instance{"orders-1"})

		require.ErrorContains(t, err, "the shutdown has begun")
		require.Equal(t, 100*time.Millisecond, time.Since(begin), "the caller gets the error at once")
		require.NoError(t, m.Wait())
		require.Equal(t, 500*time.Millisecond, added.Sub(begin))
		require.Equal(t, []time.Duration{500 * time.Millisecond}, r.times("deregister", begin))
		require.False(t, r.has("orders-1"))
		require.False(t, r.overlapped())
	})
}

func TestAShutdownDuringASlowRegisterCancelsItThenDeregisters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		r := &registry{register: func(ctx context.Context, add func()) error {
			add()
			<-ctx.Done()
			return ctx.Err()
		}}
		begin := time.Now()
		time.AfterFunc(100*time.Millisecond, func() { m.Begin(nil) })

		require.Error(t, discovery.Register(t.Context(), m, r, instance{"orders-1"}))

		require.NoError(t, m.Wait())
		require.Equal(t, []time.Duration{1100 * time.Millisecond}, r.times("deregister", begin))
		require.False(t, r.has("orders-1"))
	})
}

func TestAShutdownDuringRegisterMayUseTheWholePhaseToDeregister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		r := &registry{
			register: func(ctx context.Context, add func()) error {
				add()
				<-ctx.Done()
				return ctx.Err()
			},
			deregister: func(_ context.Context, attempt int, remove func()) error {
				if attempt < 10 { // for longer than the 2 s of a rollback
					return errRefused
				}
				remove()
				return nil
			},
		}
		time.AfterFunc(100*time.Millisecond, func() { m.Begin(nil) })

		require.Error(t, discovery.Register(t.Context(), m, r, instance{"orders-1"}))

		require.NoError(t, m.Wait())
		require.False(t, r.has("orders-1"))
	})
}

func TestARegistrationThatHangsDuringTheShutdownIsReportedAndRolledBackWhenItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		free := make(chan struct{})
		r := &registry{register: func(_ context.Context, add func()) error {
			<-free
			add()
			return nil
		}}
		done := others(m)
		time.AfterFunc(100*time.Millisecond, func() { m.Begin(nil) })

		require.Error(t, discovery.Register(t.Context(), m, r, instance{"orders-1"}))
		err := m.Wait()

		require.ErrorContains(t, err, "the registration has not returned")
		require.ErrorIs(t, err, shutdown.ErrTimeout)
		require.True(t, done())
		close(free)
		synctest.Wait()
		require.Equal(t, 1, r.count("deregister"))
		require.False(t, r.has("orders-1"))
	})
}

func TestSeveralInstancesAreDeregisteredConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		slow := &registry{deregister: func(_ context.Context, _ int, remove func()) error {
			time.Sleep(time.Second)
			remove()
			return nil
		}}
		for _, id := range []string{"a", "b", "c"} {
			require.NoError(t, discovery.Register(t.Context(), m, slow, instance{id}))
		}

		begin := time.Now()
		m.Begin(nil)
		require.NoError(t, m.Wait())

		require.Equal(t, time.Second, time.Since(begin))
	})
}

func TestForceCutsTheDeregistrationShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		r := &registry{deregister: func(context.Context, int, func()) error { return errRefused }}
		require.NoError(t, discovery.Register(t.Context(), m, r, instance{"orders-1"}))
		forced := errors.New("enough")
		time.AfterFunc(300*time.Millisecond, func() { m.Force(forced) })

		begin := time.Now()
		m.Begin(nil)
		err := m.Wait()

		require.ErrorIs(t, err, forced)
		require.ErrorIs(t, err, errRefused)
		require.Less(t, time.Since(begin), 500*time.Millisecond)
	})
}

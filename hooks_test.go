package shutdown_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

func TestRemoveUnregistersAHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		var d diary
		remove := m.On(shutdown.Close, "closed early", d.hook("closed early"))
		ran := m.On(shutdown.Close, "db", d.hook("db"))
		require.True(t, remove())
		require.True(t, remove(), "it will still never run")
		m.Begin(nil)
		require.NoError(t, m.Wait())
		require.False(t, ran())
		require.Equal(t, []string{"db"}, d.all())
	})
}

func TestOnPanicsOnInvalidArguments(t *testing.T) {
	m, _ := newManager(t, shutdown.Config{})
	nothing := func(context.Context) error { return nil }
	for _, p := range []shutdown.Phase{shutdown.Running, shutdown.Done, -1, 17} {
		require.PanicsWithValue(t, fmt.Sprintf(`shutdown: On(%v, "x"): the phase must be Leave, Drain or Close`, p), func() { m.On(p, "x", nothing) })
	}
	require.PanicsWithValue(t, `shutdown: On(leave, "x"): stop is nil`, func() { m.On(shutdown.Leave, "x", nil) })
}

func TestAHookForAPhaseThatIsOverRunsAtOnceAndIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		var d diary
		slow := func(entry string) func(context.Context) error {
			return func(ctx context.Context) error {
				time.Sleep(time.Second)
				d.add(entry)
				return ctx.Err()
			}
		}
		m.On(shutdown.Drain, "http", func(context.Context) error {
			m.On(shutdown.Leave, "late", slow("leave in drain"))
			m.On(shutdown.Drain, "late", slow("drain in drain"))
			return nil
		})
		m.On(shutdown.Close, "db", d.hook("db"))
		m.On(shutdown.Close, "cache", func(context.Context) error {
			m.On(shutdown.Leave, "late", slow("leave in close"))
			m.On(shutdown.Close, "next in line", d.hook("next in line"))
			return nil
		})
		m.Begin(nil)
		require.NoError(t, m.Wait())
		require.Equal(t, 2*time.Second, m.Report().Took)
		require.ElementsMatch(t, []string{"leave in drain", "drain in drain"}, d.all()[:2])
		require.Equal(t, []string{"next in line", "db", "leave in close"}, d.all()[2:])
	})
}

func TestAHookRegisteredAfterTheEndStillRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, log := newManager(t, shutdown.Config{})
		m.Begin(nil)
		require.NoError(t, m.Wait())
		for _, p := range []shutdown.Phase{shutdown.Leave, shutdown.Drain, shutdown.Close} {
			start := time.Now()
			took := make(chan time.Duration)
			remove := m.On(p, "too late", func(ctx context.Context) error {
				<-ctx.Done()
				took <- time.Since(start)
				panic("and it fails")
			})
			require.False(t, remove())
			require.Equal(t, 500*time.Millisecond, <-took)
		}
		synctest.Wait()
		require.Len(t, log.Lines("and it fails"), 3)
	})
}

func TestACloseHookHasTheTimeLeftLessAMinimumForEachHookAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		var ends []time.Duration
		for range 4 {
			m.On(shutdown.Close, "stuck", func(ctx context.Context) error {
				deadline, _ := ctx.Deadline()
				start := time.Now()
				<-ctx.Done()
				ends = append(ends, deadline.Sub(start))
				return nil
			})
		}
		m.Begin(nil)
		require.NoError(t, m.Wait())
		// 26.98 s, less 500 ms for each of the 3 hooks after it, less the second that it has to
		// return after the end of its context.
		require.Equal(t, 25480*time.Millisecond-time.Second, ends[0])
		require.Less(t, 400*time.Millisecond, ends[1])
		require.Less(t, m.Report().Took, 27*time.Second)
	})
}

func TestManyHangingCloseHooksShareTheTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		release := make(chan struct{})
		defer close(release)
		var started atomic.Int32
		for range 100 {
			m.On(shutdown.Close, "stuck", func(context.Context) error { started.Add(1); <-release; return nil })
		}
		m.Begin(nil)
		require.ErrorIs(t, m.Wait(), shutdown.ErrTimeout)
		require.EqualValues(t, 100, started.Load())
		require.LessOrEqual(t, m.Report().Took, 27*time.Second)
	})
}

func TestAHookThatReturnsSoonAfterItsContextEndsIsNotAbandoned(t *testing.T) {
	for _, p := range []shutdown.Phase{shutdown.Leave, shutdown.Drain, shutdown.Close} {
		synctest.Test(t, func(t *testing.T) {
			m, _ := newManager(t, shutdown.Config{})
			m.On(p, "returns late", func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(900 * time.Millisecond)
				return context.Cause(ctx)
			})
			m.Begin(nil)
			err := m.Wait()
			require.ErrorIs(t, err, shutdown.ErrTimeout)
			require.NotContains(t, err.Error(), "abandoned")
			for _, s := range m.Report().Steps {
				require.False(t, s.Abandoned)
			}
		})
	}
}

func TestAPanicWithAnErrorWrapsThatError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		boom := errors.New("boom")
		m.On(shutdown.Drain, "it", func(context.Context) error { panic(boom) })
		m.Begin(nil)
		err := m.Wait()
		require.ErrorIs(t, err, boom)
		var hook *shutdown.HookError
		require.ErrorAs(t, err, &hook)
		require.Equal(t, shutdown.Drain, hook.Phase)
		require.Contains(t, err.Error(), "hooks_test.go", "with its stack")
	})
}

// Hooks are registered while Close ends. None may be lost, and none may run twice.
func TestHooksThatRaceWithTheEndRunExactlyOnce(t *testing.T) {
	for range 300 {
		m, _ := newManager(t, shutdown.Config{})
		var runs [30]atomic.Int32
		go m.Begin(nil)
		for i := range runs {
			m.On(shutdown.Phase(1+i%3), "racing", func(context.Context) error { runs[i].Add(1); return nil })
		}
		require.NoError(t, m.Wait())
		require.Eventually(t, func() bool {
			for i := range runs {
				if runs[i].Load() != 1 {
					return false
				}
			}
			return true
		}, 30*time.Second, time.Millisecond)
	}
}

func TestAHookAbandonedByForceIsNotATimeout(t *testing.T) {
	for name, force := range map[string]bool{"forced": true, "timed out": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, _ := newManager(t, shutdown.Config{})
				m.On(shutdown.Drain, "hangs", func(context.Context) error { time.Sleep(time.Hour); return nil })
				m.On(shutdown.Close, "hangs", func(context.Context) error { time.Sleep(time.Hour); return nil })
				m.Begin(nil)
				if force {
					m.Force(nil)
				}
				err := m.Wait()
				require.Equal(t, force, errors.Is(err, shutdown.ErrForced))
				require.Equal(t, !force, errors.Is(err, shutdown.ErrTimeout))
				require.Equal(t, !force, errors.Is(err, context.DeadlineExceeded))
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

type closer struct{ err error }

func (c closer) Close() error { return c.err }

func TestCloserClosesAndReportsTheError(t *testing.T) {
	boom := errors.New("boom")
	require.NoError(t, shutdown.Closer(closer{})(t.Context()))
	require.ErrorIs(t, shutdown.Closer(closer{boom})(t.Context()), boom)
	require.Error(t, shutdown.Closer(nil)(t.Context()))
}

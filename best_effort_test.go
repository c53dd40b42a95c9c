package shutdown_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

func TestErrorsOfBestEffortHooksDoNotFailTheShutdown(t *testing.T) {
	boom := errors.New("collector: connection refused")
	for name, test := range map[string]struct {
		stop   func(context.Context) error
		took   time.Duration
		exit   int
		reason string // of the WARN, or of the ERROR
	}{
		"succeeds":               {func(context.Context) error { return nil }, 0, 0, ""},
		"fails":                  {func(context.Context) error { return boom }, 0, 0, "connection refused"},
		"waits for its ctx":      {func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }, 1800 * time.Millisecond, 0, "timed out"},
		"ignores its ctx":        {func(context.Context) error { time.Sleep(time.Hour); return nil }, 2 * time.Second, 0, "abandoned"},
		"panics":                 {func(context.Context) error { panic("boom") }, 0, 1, "panic: boom"},
		"calls Goexit":           {func(context.Context) error { runtime.Goexit(); return nil }, 0, 1, "Goexit"},
		"panics when it is late": {func(context.Context) error { time.Sleep(3 * time.Second); panic("late boom") }, 2 * time.Second, 0, "abandoned"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, log := newManager(t, shutdown.Config{})
				var had time.Duration
				m.On(shutdown.Close, "db", func(ctx context.Context) error {
					deadline, _ := ctx.Deadline()
					had = time.Until(deadline)
					time.Sleep(2 * time.Second)
					return ctx.Err()
				})
				m.On(shutdown.Close, "traces", shutdown.BestEffort(2*time.Second, test.stop))
				m.Begin(nil)
				err := m.Wait()
				require.Equal(t, test.exit, shutdown.ExitCode(err), "%v", err)
				r := m.Report()
				require.Equal(t, test.took+2*time.Second, r.Took)
				require.Greater(t, had, 22*time.Second, "the database has its time")
				step := r.Steps[3]
				require.Equal(t, "traces", step.Name)
				warned := log.Lines("level=WARN msg=\"shutdown: failed, which does not count (best effort)\"")
				failed := slices.DeleteFunc(log.Lines("level=ERROR msg=\"shutdown: failed\""), func(line string) bool {
					return strings.Contains(line, "late boom") // of the hook that was abandoned
				})
				switch {
				case test.reason == "":
					require.False(t, step.BestEffort)
					require.Empty(t, warned)
				case test.exit == 0:
					require.True(t, step.BestEffort)
					require.ErrorContains(t, step.Err, test.reason)
					require.Len(t, warned, 1)
					require.Contains(t, warned[0], test.reason)
					require.Contains(t, r.String(), "(best effort)")
					require.Empty(t, failed)
					require.Len(t, log.Lines("level=INFO msg=\"shutdown: finished\""), 1)
				default:
					require.False(t, step.BestEffort)
					require.Len(t, failed, 1)
					require.Contains(t, failed[0], test.reason)
				}
				time.Sleep(2 * time.Hour)
				if name == "panics when it is late" {
					require.Contains(t, log.String(), "late boom", "it is not waited for, but logged")
				}
			})
		})
	}
}

// If the time of the hook is shorter than the limit, stop is abandoned at its end. That is no
// failure either.
func TestABestEffortHookHasAtMostTheTimeOfItsHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, log := newManager(t, shutdown.Config{})
		var d diary
		m.On(shutdown.Close, "db", d.hook("db"))
		m.On(shutdown.Close, "traces", shutdown.BestEffort(time.Hour, func(context.Context) error { time.Sleep(2 * time.Hour); return nil }))
		m.Begin(nil)
		require.NoError(t, m.Wait())
		require.Equal(t, []string{"db"}, d.all())
		require.LessOrEqual(t, m.Report().Took, 27*time.Second)
		require.Len(t, log.Lines("level=WARN"), 1)
		time.Sleep(3 * time.Hour)
	})
}

// A hook that is abandoned outside of its best-effort part has failed.
func TestAHookThatHangsAfterItsBestEffortPartFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		m.On(shutdown.Close, "both", func(ctx context.Context) error {
			err := shutdown.BestEffort(time.Second, func(context.Context) error { return errors.New("refused") })(ctx)
			require.Error(t, err)
			time.Sleep(time.Hour)
			return nil
		})
		m.Begin(nil)
		require.ErrorIs(t, m.Wait(), shutdown.ErrTimeout)
		time.Sleep(2 * time.Hour)
	})
}

func TestBestEffortPanicsOnInvalidArguments(t *testing.T) {
	require.PanicsWithValue(t, "shutdown: BestEffort(0s): the limit must be positive", func() { shutdown.BestEffort(0, closeNothing) })
	require.PanicsWithValue(t, "shutdown: BestEffort(1s): stop is nil", func() { shutdown.BestEffort(time.Second, nil) })
}

func closeNothing(context.Context) error { return nil }

package sequence_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/sequence"
)

var errBoom = errors.New("boom")

// hooksThatFail are hooks that return, or not, at once.
var hooksThatFail = map[string]struct {
	stop       func(context.Context) error
	is         error  // in the Step's error
	text       string // as well; empty if the hook has not failed
	bestEffort bool
}{
	"nil":                       {stop: nothing},
	"an error":                  {stop: func(context.Context) error { return errBoom }, is: errBoom, text: "boom"},
	"a panic":                   {stop: func(context.Context) error { panic("boom") }, text: "panic: boom\n\n"},
	"a panic with an error":     {stop: func(context.Context) error { panic(errBoom) }, is: errBoom, text: "fail_test.go"},
	"a panic with nil":          {stop: func(context.Context) error { panic(nil) }, text: "panic called with nil"},
	"Goexit":                    {stop: func(context.Context) error { runtime.Goexit(); return nil }, is: sequence.ErrGoexit, text: "runtime.Goexit was called"},
	"best effort":               {stop: func(context.Context) error { return &sequence.BestEffortError{Err: errBoom} }, is: errBoom, text: "boom", bestEffort: true},
	"best effort, wrapped":      {stop: func(context.Context) error { return fmt.Errorf("x: %w", &sequence.BestEffortError{Err: errBoom}) }, is: errBoom, text: "x: boom"},
	"best effort, joined":       {stop: func(context.Context) error { return errors.Join(&sequence.BestEffortError{Err: errBoom}) }, is: errBoom, text: "boom"},
	"an abandoned one, wrapped": {stop: func(context.Context) error { return fmt.Errorf("x: %w", sequence.ErrAbandoned) }, is: sequence.ErrAbandoned, text: "x: did not return"},
}

func TestAHookThatFailsIsReportedAndTheOthersRun(t *testing.T) {
	for name, test := range hooksThatFail {
		for _, phase := range threePhases {
			t.Run(fmt.Sprint(name, " in ", phase), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var failed []sequence.Step
					p := newProgram(thirty, func(_ *program, c *sequence.Config) {
						c.Failed = func(s sequence.Step, afterEnd bool) {
							require.False(t, afterEnd)
							failed = append(failed, s)
						}
					})
					p.On(phase, "before", p.takes(0, "before"))
					p.On(phase, "fails", func(ctx context.Context) error { time.Sleep(time.Second); return test.stop(ctx) })
					p.On(phase, "after", p.takes(0, "after"))
					p.shutDown()
					require.Len(t, p.all(), 2)
					require.Equal(t, time.Second, p.Snapshot().Took)

					step := p.step(t, phase, "fails")
					require.False(t, step.Running)
					require.Equal(t, time.Second, step.Took)
					require.Equal(t, test.bestEffort, step.BestEffort)
					require.False(t, step.Abandoned)
					if test.text == "" {
						require.NoError(t, step.Err)
						require.Empty(t, failed)
						return
					}
					require.ErrorContains(t, step.Err, test.text)
					if test.is != nil {
						require.ErrorIs(t, step.Err, test.is)
					}
					require.Len(t, failed, 1)
					require.Equal(t, step, failed[0])
				})
			})
		}
	}
}

func TestAHookThatFailsAfterTheEndDoesNotCount(t *testing.T) {
	for name, test := range hooksThatFail {
		for _, phase := range threePhases {
			t.Run(fmt.Sprint(name, " in ", phase), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var failed []sequence.Step
					p := newProgram(thirty, func(_ *program, c *sequence.Config) {
						c.Failed = func(s sequence.Step, afterEnd bool) {
							require.True(t, afterEnd)
							failed = append(failed, s)
						}
					})
					p.shutDown()
					steps := p.Snapshot().Steps
					p.On(phase, "fails", test.stop)
					synctest.Wait()
					require.Equal(t, steps, p.Snapshot().Steps)
					if test.text == "" {
						require.Empty(t, failed)
						return
					}
					require.Len(t, failed, 1)
					require.ErrorContains(t, failed[0].Err, test.text)
					failed[0].Err = nil
					require.Equal(t, sequence.Step{Phase: phase, Name: "fails", BestEffort: test.bestEffort}, failed[0])
				})
			})
		}
	}
}

func TestAHookAfterTheEndHasHalfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty)
		p.shutDown()
		cause := make(chan error)
		p.On(sequence.Close, "hangs", func(ctx context.Context) error { <-ctx.Done(); cause <- context.Cause(ctx); return nil })
		require.Equal(t, sequence.ErrTimeout, <-cause)
		require.Equal(t, 500*time.Millisecond, p.now())
	})
}

func TestAHookThatDoesNotReturnIsAbandonedAMomentAfterTheEndOfItsContext(t *testing.T) {
	for phase, end := range map[sequence.Phase]time.Duration{
		sequence.Leave: 10 * time.Second, sequence.Drain: 20 * time.Second, sequence.Close: 30 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newProgram(thirty, journalCallbacks)
			var cause error
			p.On(phase, "hangs", func(ctx context.Context) error {
				<-ctx.Done()
				cause = context.Cause(ctx)
				p.note("context ended")
				time.Sleep(time.Minute)
				return errBoom
			})
			p.begin(nil, false)
			time.Sleep(end - time.Millisecond)
			require.True(t, p.step(t, phase, "hangs").Running)
			time.Sleep(time.Millisecond)
			<-p.ended

			require.Equal(t, sequence.ErrTimeout, cause)
			require.Contains(t, p.all(), fmt.Sprint(end-time.Second, " context ended"))
			require.Contains(t, p.all(), fmt.Sprintf("%v failed: %v hangs: did not return in time and was abandoned, after the end false", end, phase))
			step := p.step(t, phase, "hangs")
			require.True(t, step.Abandoned)
			require.Equal(t, sequence.ErrAbandoned, step.Err)
			require.ErrorIs(t, step.Err, sequence.ErrTimeout)
			require.ErrorIs(t, step.Err, context.DeadlineExceeded)
			require.Equal(t, end, step.Took)
			require.Equal(t, end, p.Snapshot().Took, "nothing else takes time")

			before := p.all()
			time.Sleep(time.Minute)
			require.Equal(t, step, p.step(t, phase, "hangs"), "what it returns later changes nothing")
			require.Equal(t, before, p.all())
		})
	}
}

func TestAHookThatReturnsInTheMomentAfterTheEndOfItsContextIsNotAbandoned(t *testing.T) {
	for phase, end := range map[sequence.Phase]time.Duration{
		sequence.Leave: 10 * time.Second, sequence.Drain: 20 * time.Second, sequence.Close: 30 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newProgram(thirty)
			p.On(phase, "slow", func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(999 * time.Millisecond)
				return context.Cause(ctx)
			})
			p.shutDown()
			step := p.step(t, phase, "slow")
			require.False(t, step.Abandoned)
			require.Equal(t, sequence.ErrTimeout, step.Err)
			require.Equal(t, end-time.Millisecond, p.Snapshot().Took)
		})
	}
}

func TestAnAbandonedHookIsBestEffortOnlyWhileItRunsABestEffortFunction(t *testing.T) {
	for name, test := range map[string]struct {
		hang func(ctx context.Context)
		want bool
	}{
		"inside": {func(ctx context.Context) {
			defer sequence.InBestEffort(ctx)()
			time.Sleep(time.Hour)
		}, true},
		"before and after": {func(ctx context.Context) {
			sequence.InBestEffort(ctx)()
			time.Sleep(time.Hour)
			sequence.InBestEffort(ctx)()
		}, false},
		"one of two": {func(ctx context.Context) {
			defer sequence.InBestEffort(ctx)()
			sequence.InBestEffort(ctx)()
			time.Sleep(time.Hour)
		}, true},
		"a derived context": {func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			defer sequence.InBestEffort(ctx)()
			time.Sleep(time.Hour)
		}, true},
		"the context of no hook": {func(context.Context) {
			defer sequence.InBestEffort(context.Background())()
			time.Sleep(time.Hour)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, phase := range threePhases {
				synctest.Test(t, func(t *testing.T) {
					p := newProgram(thirty)
					p.On(phase, "hangs", func(ctx context.Context) error { test.hang(ctx); return nil })
					p.shutDown()
					step := p.step(t, phase, "hangs")
					require.Equal(t, test.want, step.BestEffort)
					require.True(t, step.Abandoned)
					require.Equal(t, sequence.ErrAbandoned, step.Err)
					time.Sleep(time.Hour)
				})
			}
		})
	}
}

func TestAHookThatFailsBesideABestEffortFunctionCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty)
		p.On(sequence.Drain, "fails", func(ctx context.Context) error {
			sequence.InBestEffort(ctx) // which goes on, on another goroutine
			return errBoom
		})
		p.shutDown()
		require.False(t, p.step(t, sequence.Drain, "fails").BestEffort, "only an abandoned hook is judged by that")
	})
}

func TestAPanicErrorHasABoundedStack(t *testing.T) {
	var deep func(n int) error
	deep = func(n int) (err error) {
		if n > 0 {
			return deep(n - 1)
		}
		defer func() { err = sequence.NewPanicError(recover()) }()
		panic(errBoom)
	}
	err := deep(1000)
	require.ErrorIs(t, err, errBoom)
	text := err.Error()
	require.True(t, strings.HasPrefix(text, "panic: boom\n\ngoroutine "))
	require.True(t, strings.HasSuffix(text, "\n... (cut)"))
	require.LessOrEqual(t, len(text), 4<<10+len("panic: boom\n\n"))
	require.NoError(t, errors.Unwrap(sequence.NewPanicError("no error")))
}

func TestErrors(t *testing.T) {
	cause := errors.New("Ctrl-C")
	forced := &sequence.ForcedError{Cause: cause}
	require.EqualError(t, forced, "shutdown: forced: Ctrl-C")
	require.ErrorIs(t, forced, sequence.ErrForced)
	require.ErrorIs(t, forced, cause)
	require.EqualError(t, &sequence.ForcedError{}, "shutdown: forced")
	require.ErrorIs(t, &sequence.ForcedError{}, sequence.ErrForced)
	require.EqualError(t, sequence.ErrTimeout, "shutdown: timed out")
	require.ErrorIs(t, sequence.ErrTimeout, context.DeadlineExceeded)
	require.NotErrorIs(t, sequence.ErrForced, context.DeadlineExceeded)
	require.EqualError(t, &sequence.BestEffortError{Err: errBoom}, "boom")
	require.ErrorIs(t, &sequence.BestEffortError{Err: errBoom}, errBoom)
}

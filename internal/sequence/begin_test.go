package sequence_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/sequence"
)

func TestOnlyTheFirstBeginHasAnEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plans := 0
		p := newProgram(thirty, func(_ *program, c *sequence.Config) {
			c.Plan = func(bool, error) sequence.Plan { plans++; return thirty }
		})
		require.Zero(t, p.Snapshot().Begun)
		plans = 0
		first := errors.New("first")
		time.Sleep(time.Minute)
		require.True(t, p.Begin(first, false))
		begun := time.Now()
		time.Sleep(time.Second)
		require.False(t, p.Begin(errors.New("second"), true))

		s := p.Snapshot()
		require.Equal(t, 1, plans)
		require.Equal(t, begun, s.Begun)
		require.Equal(t, first, s.Cause)
		require.Nil(t, s.Forced, "Begin forces nothing once the shutdown has begun")
		require.NoError(t, p.Work().Err())
		p.Run()
		require.False(t, p.Begin(nil, true), "nor does it after the end")
		require.Nil(t, p.Snapshot().Forced)
	})
}

func TestBeginEndsAcceptContextAndEntersLeaveBeforeItReturns(t *testing.T) {
	for name, test := range map[string]struct {
		cause error
		text  string
	}{
		"a cause":  {errors.New("disk full"), "disk full"},
		"no cause": {nil, "shutdown: requested"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newProgram(thirty)
			require.NoError(t, p.Accept().Err())
			require.Equal(t, sequence.Running, p.Phase())
			require.True(t, p.Begin(test.cause, false))
			require.EqualError(t, context.Cause(p.Accept()), test.text, name)
			require.Equal(t, sequence.Leave, p.Phase())
			require.True(t, closed(p.Reached(sequence.Leave)))
			require.False(t, closed(p.Reached(sequence.Drain)))
			require.NoError(t, p.Work().Err())
			require.Equal(t, test.cause, p.Snapshot().Cause)
			p.Run()
		})
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// A lame duck makes sense only for a program that stops accepting something.
func TestThePlanIsToldWhetherThereIsADrainHook(t *testing.T) {
	for phase, want := range map[sequence.Phase]bool{sequence.Leave: false, sequence.Drain: true, sequence.Close: false} {
		synctest.Test(t, func(t *testing.T) {
			var serves []bool
			var causes []error
			p := newProgram(thirty, func(_ *program, c *sequence.Config) {
				c.Plan = func(s bool, cause error) sequence.Plan {
					serves, causes = append(serves, s), append(causes, cause)
					return thirty
				}
			})
			remove := p.On(phase, "hook", nothing)
			p.Snapshot()
			remove()
			p.Snapshot()
			p.On(phase, "hook", nothing)
			cause := errors.New("cause")
			p.begin(cause, false)
			<-p.ended
			require.Equal(t, []bool{want, false, want}, serves, "%v", phase)
			require.Equal(t, []error{nil, nil, cause}, causes)
		})
	}
}

func TestReachedIsClosedWhenThePhaseBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := thirty
		plan.LameDuck = 2 * time.Second
		p := newProgram(plan, workUntil(5*time.Second))
		p.On(sequence.Close, "db", p.takes(time.Second, "db"))
		at := make(map[sequence.Phase]time.Duration)
		var mu sync.Mutex
		for phase := sequence.Running; phase <= sequence.Done; phase++ {
			go func() {
				<-p.Reached(phase)
				mu.Lock()
				defer mu.Unlock()
				at[phase] = p.now()
			}()
		}
		p.shutDown()
		synctest.Wait()
		require.Equal(t, map[sequence.Phase]time.Duration{
			sequence.Running: 0, sequence.Leave: 0, sequence.Drain: 2 * time.Second, sequence.Close: 5 * time.Second, sequence.Done: 6 * time.Second,
		}, at)
		require.Nil(t, p.Reached(-1))
		require.Nil(t, p.Reached(sequence.Done+1))
	})
}

func TestPhasesHaveNames(t *testing.T) {
	for phase, name := range map[sequence.Phase]string{
		sequence.Running: "running", sequence.Leave: "leave", sequence.Drain: "drain", sequence.Close: "close", sequence.Done: "done",
		-1: "Phase(-1)", 5: "Phase(5)",
	} {
		require.Equal(t, name, phase.String())
	}
}

func TestIfRunningCallsItsFunctionOnlyBeforeTheShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty)
		calls := 0
		require.True(t, p.IfRunning(func() { calls++ }))
		require.True(t, p.IfRunning(func() { calls++ }))
		for _, phase := range threePhases {
			p.On(phase, "hook", func(context.Context) error {
				if p.IfRunning(func() { calls++ }) {
					return errors.New("it was called")
				}
				return nil
			})
		}
		p.shutDown()
		require.False(t, p.IfRunning(func() { calls++ }))
		require.Equal(t, 2, calls)
		for _, s := range p.Snapshot().Steps {
			require.NoError(t, s.Err)
		}
	})
}

// What IfRunning counts is counted when the shutdown begins, or not at all.
func TestTheShutdownDoesNotBeginWhileIfRunningCallsItsFunction(t *testing.T) {
	for range 50 {
		counted, inside, atBegin := 0, false, -1
		p := newProgram(thirty, func(_ *program, c *sequence.Config) {
			c.Began = func(time.Time, error, sequence.Plan) {
				atBegin = counted
				if inside {
					atBegin = -2
				}
			}
		})
		var callers sync.WaitGroup
		var refused atomic.Int32
		for range 4 {
			callers.Go(func() {
				for p.IfRunning(func() {
					inside = true
					runtime.Gosched()
					counted, inside = counted+1, false
				}) {
				}
				refused.Add(1)
			})
		}
		runtime.Gosched()
		p.shutDown()
		callers.Wait()
		require.Equal(t, counted, atBegin)
		require.EqualValues(t, 4, refused.Load())
	}
}

func TestAddStepAddsTheStepThatItsFunctionReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, workUntil(3*time.Second))
		p.On(sequence.Close, "db", p.takes(2*time.Second, "db"))
		p.begin(nil, false)
		recorded := sequence.Step{Kind: "job", Name: "import", Err: errors.New("row 17")}
		for _, want := range []struct {
			phase sequence.Phase
			at    time.Duration
		}{{sequence.Drain, time.Second}, {sequence.Close, 4 * time.Second}} {
			time.Sleep(want.at - p.now())
			p.AddStep(func(now sequence.Phase, since time.Duration) *sequence.Step {
				require.Equal(t, want.phase, now)
				require.Equal(t, want.at, since)
				return nil
			})
			require.NotContains(t, p.Snapshot().Steps, recorded)
		}
		p.AddStep(func(sequence.Phase, time.Duration) *sequence.Step { return &recorded })
		require.Contains(t, p.Snapshot().Steps, recorded)
		<-p.ended
		p.AddStep(func(now sequence.Phase, since time.Duration) *sequence.Step {
			require.Equal(t, sequence.Done, now)
			require.Equal(t, 5*time.Second, since)
			return nil
		})
		require.Contains(t, p.Snapshot().Steps, recorded)
	})
}

// Work that declares its end inside of AddStep has its step recorded before Drain ends
// because of that.
func TestNoPhaseEndsWhileAddStepCallsItsFunction(t *testing.T) {
	for range 50 {
		workEnded := make(chan struct{})
		var inTime, missing bool
		p := newProgram(thirty, func(p *program, c *sequence.Config) {
			c.Drain = func(context.Context) error { <-workEnded; return nil }
			c.CutOffError = func(time.Time, error) error {
				for _, s := range p.Snapshot().Steps {
					inTime = inTime || s.Name == "consumer"
				}
				return nil
			}
		})
		p.begin(nil, false)
		<-p.Reached(sequence.Drain)
		p.AddStep(func(now sequence.Phase, _ time.Duration) *sequence.Step {
			close(workEnded)
			for range 100 {
				runtime.Gosched()
				missing = missing || p.Phase() != now // Phase takes no lock
			}
			return &sequence.Step{Kind: "worker", Name: "consumer"}
		})
		<-p.ended
		require.True(t, inTime)
		require.False(t, missing)
	}
}

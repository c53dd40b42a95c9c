package sequence_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/sequence"
)

// quick is a Plan for tests in real time.
var quick = sequence.Plan{
	DrainEnd: 100 * time.Millisecond, CloseEnd: 5 * time.Second, Timeout: 5 * time.Second, Reserve: 5 * time.Second,
}

// In real time: a goroutine that waits for a mutex stops the clock of synctest.
func TestWhatReportsAStateIsCalledWithTheLockHeldAndWhatMayTakeTimeIsNot(t *testing.T) {
	for _, force := range []bool{false, true} {
		var called sync.Map
		// locked checks that no other method gets in while a callback runs.
		locked := func(p *program, name string) {
			called.Store(name, true)
			got := make(chan struct{})
			go func() {
				p.Snapshot()
				close(got)
			}()
			select {
			case <-got:
				t.Errorf("%s: called without the lock", name)
			case <-time.After(2 * time.Millisecond):
			}
		}
		free := func(p *program, name string) {
			called.Store(name, true)
			p.Snapshot() // blocks for ever if the lock is held
		}
		p := newProgram(quick, func(p *program, c *sequence.Config) {
			c.Plan = func(bool, error) sequence.Plan { called.Store("Plan", true); return quick }
			c.Began = func(time.Time, error, sequence.Plan) { locked(p, "Began") }
			c.Forced = func(error) { locked(p, "Forced") }
			c.Failed = func(sequence.Step, bool) { locked(p, "Failed") }
			c.Changed = func() { locked(p, "Changed") }
			c.Drain = func(ctx context.Context) error { free(p, "Drain"); <-ctx.Done(); return ctx.Err() }
			c.CutOff = func() { free(p, "CutOff") }
			c.WorkEnded = func(error) { free(p, "WorkEnded") }
			c.CutOffError = func(time.Time, error) error { free(p, "CutOffError"); return nil }
			c.Overdue = func(sequence.Phase) { free(p, "Overdue") }
		})
		for _, phase := range threePhases {
			p.On(phase, "fails", func(context.Context) error { return errBoom })
		}
		p.begin(nil, false)
		if force {
			p.Force(errImpatient)
		}
		<-p.ended
		for _, name := range []string{"Plan", "Began", "Failed", "Changed", "Drain", "CutOff", "WorkEnded", "CutOffError", "Overdue"} {
			_, ok := called.Load(name)
			require.True(t, ok, name)
		}
		_, ok := called.Load("Forced")
		require.Equal(t, force, ok)
	}
}

// Everything at the same time, from everywhere.
func TestNoCallbackRunsWhileAnotherDoes(t *testing.T) {
	for range 20 {
		inside, most, calls := 0, 0, 0 // without a lock of their own, for the race detector
		enter := func() {
			inside++
			most = max(most, inside)
			calls++
			runtime.Gosched()
			inside--
		}
		p := newProgram(quick, func(p *program, c *sequence.Config) {
			c.Plan = func(bool, error) sequence.Plan { enter(); return quick }
			c.Began = func(time.Time, error, sequence.Plan) { enter() }
			c.Forced = func(error) { enter() }
			c.Failed = func(sequence.Step, bool) { enter() }
			c.Changed = enter
			c.Drain = func(context.Context) error { <-p.Work().Done(); return nil }
		})
		var others sync.WaitGroup
		for i := range 6 {
			others.Go(func() {
				for n := range 20 {
					phase := sequence.Phase(1 + n%3)
					remove := p.On(phase, fmt.Sprint(n), func(context.Context) error { return errBoom })
					if n%5 == 0 {
						remove()
					}
					p.Snapshot()
					p.IfRunning(enter)
					p.AddStep(func(sequence.Phase, time.Duration) *sequence.Step {
						enter()
						return &sequence.Step{Kind: "worker", Name: fmt.Sprint(n)}
					})
					if i == 0 && n == 5 {
						p.begin(nil, false)
					}
					if i == 1 && n >= 15 {
						p.Force(nil)
					}
				}
			})
		}
		others.Wait()
		<-p.ended
		p.AddStep(func(sequence.Phase, time.Duration) *sequence.Step { // hooks after the end may still fail
			require.Equal(t, 1, most)
			require.Greater(t, calls, 100)
			return nil
		})
	}
}

func TestCallbacksComeInOrderAndTheirTimesAreTheSequences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := thirty
		plan.LameDuck = time.Second
		var at time.Time
		var given sequence.Plan
		p := newProgram(plan, workUntil(time.Hour), journalCallbacks, func(_ *program, c *sequence.Config) {
			began := c.Began
			c.Began = func(t time.Time, cause error, plan sequence.Plan) { at, given = t, plan; began(t, cause, plan) }
		})
		for _, phase := range threePhases {
			p.On(phase, "fails", func(context.Context) error { time.Sleep(2 * time.Second); return errBoom })
		}
		p.On(sequence.Drain, "hangs", p.hang("hangs"))
		p.begin(errors.New("disk full"), false)
		time.Sleep(3 * time.Second)
		p.Force(errImpatient)
		<-p.ended
		require.Equal(t, p.made, at)
		require.Equal(t, plan, given)
		require.Equal(t, []string{
			"0s began: disk full",
			"2s failed: leave fails: boom, after the end false",
			"2s hangs",
			"3s forced: impatient", "3s cut off",
			"3s work ended: shutdown: forced: impatient",
			"3s hangs: shutdown: forced: impatient",
			"3.1s drain", "3.1s drained: shutdown: forced: impatient",
			"3.1s overdue: drain",
			"3.1s failed: drain fails: did not return in time and was abandoned, after the end false",
			"3.1s failed: drain hangs: did not return in time and was abandoned, after the end false",
			"5.1s failed: close fails: boom, after the end false",
		}, p.all())
	})
}

func TestNothingIsReportedAfterTheEndButFailuresThatDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := 0
		p := newProgram(thirty, journalCallbacks, func(_ *program, c *sequence.Config) { c.Changed = func() { changes++ } })
		p.On(sequence.Close, "hangs", func(context.Context) error { time.Sleep(time.Hour); return errBoom })
		remove := p.On(sequence.Close, "other", nothing)
		p.shutDown()
		before := len(p.all())
		changes = 0
		p.Force(errImpatient)
		p.Begin(errImpatient, true)
		remove()
		p.AddStep(func(sequence.Phase, time.Duration) *sequence.Step { return nil })
		p.Snapshot()
		time.Sleep(time.Hour)
		require.Len(t, p.all(), before)
		p.On(sequence.Leave, "late", func(context.Context) error { return errBoom })
		synctest.Wait()
		require.Equal(t, []string{"1h0m30s failed: leave late: boom, after the end true"}, p.all()[before:])
		require.Zero(t, changes)
	})
}

// A record that is written when Changed is called is never older than the last step.
func TestChangedIsCalledForEachChangeOfTheSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		changed := false
		plan := thirty
		plan.LameDuck = 3 * time.Second
		p := newProgram(plan, workUntil(time.Hour), func(_ *program, c *sequence.Config) {
			c.Changed = func() {
				mu.Lock()
				defer mu.Unlock()
				changed = true
			}
		})
		// snapshot leaves out what changes with the time alone.
		snapshot := func() sequence.Snapshot {
			s := p.Snapshot()
			if s.Phase != sequence.Done {
				s.Took = 0
			}
			for i := range s.Steps {
				if s.Steps[i].Running {
					s.Steps[i].Took = 0
				}
			}
			for i := range s.Pending {
				s.Pending[i].At = 0
			}
			return s
		}
		for _, phase := range threePhases[1:] { // none in Leave, so that the phase itself is a change
			p.On(phase, "first", p.takes(700*time.Millisecond, "first"))
			p.On(phase, "second", p.takes(1400*time.Millisecond, "second"))
		}
		last, seen := snapshot(), 0
		for p.Phase() != sequence.Done {
			switch p.now() {
			case time.Second:
				require.True(t, p.Begin(nil, false))
			case 2 * time.Second:
				go p.Run()
			case 6 * time.Second:
				p.On(sequence.Leave, "late", p.takes(time.Second, "late"))
			case 7 * time.Second:
				p.AddStep(func(sequence.Phase, time.Duration) *sequence.Step { return &sequence.Step{Kind: "job", Name: "import"} })
			case 20 * time.Second: // WorkContext has ended
				p.Force(errImpatient)
			}
			synctest.Wait()
			now := snapshot()
			mu.Lock()
			if !reflect.DeepEqual(last, now) {
				require.True(t, changed, "%v: %+v, and was %+v", p.now(), now, last)
				seen++
			}
			last, changed = now, false
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
		}
		require.Greater(t, seen, 10)
	})
}

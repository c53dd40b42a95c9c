package sequence_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/sequence"
)

func TestPhasesRunInOrderAndTheWorkIsWaitedForAfterTheDrainHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, workUntil(6*time.Second), journalCallbacks)
		p.On(sequence.Close, "db", p.takes(time.Second, "db"))
		p.On(sequence.Drain, "http", p.takes(3*time.Second, "http"))
		p.On(sequence.Leave, "consul", p.takes(2*time.Second, "consul"))
		p.On(sequence.Close, "cache", p.takes(time.Second, "cache"))
		p.shutDown()
		require.Equal(t, []string{
			"0s began: <nil>", "0s consul",
			"2s http", "5s drain", "6s drained: <nil>",
			"6s cache", "7s db",
		}, p.all())
		require.Equal(t, sequence.Done, p.Phase())
		require.Equal(t, 8*time.Second, p.Snapshot().Took)
	})
}

func TestHooksOfLeaveAndOfDrainRunAtTheSameTime(t *testing.T) {
	for _, phase := range []sequence.Phase{sequence.Leave, sequence.Drain} {
		synctest.Test(t, func(t *testing.T) {
			p := newProgram(thirty)
			for i := range 3 {
				p.On(phase, "hook", p.takes(time.Duration(i+1)*time.Second, fmt.Sprint(i)))
			}
			p.shutDown()
			require.ElementsMatch(t, []string{"0s 0", "0s 1", "0s 2"}, p.all())
			require.Equal(t, 3*time.Second, p.step(t, phase, "").Took)
		})
	}
}

func TestDrainBeginsWhenTheLameDuckHasEndedAndAllLeaveHooksHaveReturned(t *testing.T) {
	for name, test := range map[string]struct{ lameDuck, hook, drain time.Duration }{
		"neither":                  {0, 0, 0},
		"the lame duck is longer":  {5 * time.Second, time.Second, 5 * time.Second},
		"a Leave hook is longer":   {time.Second, 5 * time.Second, 5 * time.Second},
		"a Leave hook hangs":       {time.Second, time.Hour, 10 * time.Second},
		"a long lame duck":         {15 * time.Second, 0, 15 * time.Second},
		"and a Leave hook as long": {15 * time.Second, time.Hour, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plan := thirty
				plan.LameDuck = test.lameDuck
				p := newProgram(plan)
				p.On(sequence.Leave, "consul", p.takes(test.hook, "consul"))
				p.On(sequence.Drain, "http", p.takes(0, "http"))
				p.shutDown()
				require.Equal(t, []string{"0s consul", fmt.Sprint(test.drain, " http")}, p.all())
				time.Sleep(test.hook) // the hook that was abandoned
			})
		})
	}
}

// A hook of two seconds holds each phase. Another one is registered in the middle.
func TestALateHookRunsAtOnceIfItsPhaseHasBegunAndElseInTurn(t *testing.T) {
	never := -time.Second
	for _, test := range []struct {
		when   time.Duration // 1 s is in Leave, 3 s in Drain, 5 s in Close, 7 s after the end
		starts map[sequence.Phase]time.Duration
	}{
		{never, map[sequence.Phase]time.Duration{sequence.Leave: 0, sequence.Drain: 2 * time.Second, sequence.Close: 4 * time.Second}},
		{1 * time.Second, map[sequence.Phase]time.Duration{sequence.Leave: 1 * time.Second, sequence.Drain: 2 * time.Second, sequence.Close: 4 * time.Second}},
		{3 * time.Second, map[sequence.Phase]time.Duration{sequence.Leave: 3 * time.Second, sequence.Drain: 3 * time.Second, sequence.Close: 4 * time.Second}},
		{5 * time.Second, map[sequence.Phase]time.Duration{sequence.Leave: 5 * time.Second, sequence.Drain: 5 * time.Second, sequence.Close: 6 * time.Second}},
		{7 * time.Second, map[sequence.Phase]time.Duration{sequence.Leave: 7 * time.Second, sequence.Drain: 7 * time.Second, sequence.Close: 7 * time.Second}},
	} {
		for _, phase := range threePhases {
			t.Run(fmt.Sprint(phase, " hook at ", test.when), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newProgram(thirty)
					for _, held := range threePhases {
						p.On(held, "holds "+held.String(), p.takes(2*time.Second, "held"))
					}
					started := make(chan time.Duration, 1)
					late := func(ctx context.Context) error {
						started <- p.now()
						_, limited := ctx.Deadline()
						if !limited || ctx.Err() != nil {
							return errors.New("it has no time")
						}
						time.Sleep(400 * time.Millisecond)
						return nil
					}
					if test.when == never {
						p.On(phase, "late", late)
					}
					p.begin(nil, false)
					if test.when != never {
						time.Sleep(test.when)
						p.On(phase, "late", late)
					}
					require.Equal(t, test.starts[phase], <-started)
					<-p.ended
					if test.when == 7*time.Second {
						for _, s := range p.Snapshot().Steps {
							require.NotEqual(t, "late", s.Name, "it is no part of the shutdown")
						}
						time.Sleep(time.Second)
						return
					}
					step := p.step(t, phase, "late")
					require.Equal(t, test.starts[phase], step.At)
					require.NoError(t, step.Err)
					require.Equal(t, 400*time.Millisecond, step.Took, "it is waited for")
				})
			})
		}
	}
}

func TestALateHookHasUntilTheEndOfThePhaseInWhichItIsRegistered(t *testing.T) {
	for at, want := range map[time.Duration]time.Duration{time.Second: 9 * time.Second, 3 * time.Second: 19 * time.Second, 5 * time.Second: 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p := newProgram(thirty)
			for _, phase := range threePhases {
				p.On(phase, "holds "+phase.String(), p.takes(2*time.Second, "held"))
			}
			p.begin(nil, false)
			time.Sleep(at)
			ends := make(chan time.Duration)
			p.On(sequence.Leave, "late", func(ctx context.Context) error {
				deadline, _ := ctx.Deadline()
				ends <- deadline.Sub(p.made)
				return nil
			})
			require.Equal(t, want, <-ends)
			<-p.ended
		})
	}
}

// All hooks of the phase have returned. It goes on, with the lame duck or with work in
// flight, when another hook is registered.
func TestAPhaseDoesNotEndBeforeItsLateHooks(t *testing.T) {
	for phase, next := range map[sequence.Phase]sequence.Phase{sequence.Leave: sequence.Drain, sequence.Drain: sequence.Close} {
		synctest.Test(t, func(t *testing.T) {
			plan := thirty
			work := 2 * time.Second
			if phase == sequence.Leave {
				plan.LameDuck, work = work, 0
			}
			p := newProgram(plan, workUntil(work))
			p.On(next, "next", p.takes(0, "next"))
			p.begin(nil, false)
			time.Sleep(time.Second)
			p.On(phase, "late", p.takes(3*time.Second, "late"))
			<-p.ended
			require.Equal(t, []string{"1s late", "4s next"}, p.all())
		})
	}
}

// The last Close hook has returned, and a late one of Drain still runs.
func TestCloseWaitsForLateHooksAndTakesFurtherCloseHooksMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty)
		p.On(sequence.Close, "db", func(context.Context) error {
			p.On(sequence.Drain, "late", p.takes(3*time.Second, "late"))
			return nil
		})
		p.begin(nil, false)
		time.Sleep(time.Second)
		require.Equal(t, sequence.Close, p.Phase())
		p.On(sequence.Close, "next", p.takes(time.Second, "next"))
		<-p.ended
		require.Equal(t, []string{"0s late", "1s next"}, p.all())
		require.Equal(t, 3*time.Second, p.Snapshot().Took)
	})
}

func TestAHookThatIsRegisteredBetweenBeginAndRunRunsInItsPhase(t *testing.T) {
	for _, phase := range threePhases {
		synctest.Test(t, func(t *testing.T) {
			p := newProgram(thirty)
			require.True(t, p.Begin(nil, false))
			p.On(phase, "hook", p.takes(time.Second, "hook"))
			p.Run()
			require.NoError(t, p.step(t, phase, "hook").Err)
			require.Equal(t, []string{"0s hook"}, p.all())
			require.Equal(t, time.Second, p.Snapshot().Took)
		})
	}
}

func TestRemoveTakesAHookOutUntilItStarts(t *testing.T) {
	for _, phase := range threePhases {
		synctest.Test(t, func(t *testing.T) {
			p := newProgram(thirty)
			removePending := p.On(phase, "pending", p.takes(0, "pending"))
			runs := make(chan bool, 1)
			var remove func() bool
			remove = p.On(phase, "runs", func(context.Context) error { runs <- remove(); return nil })
			p.On(phase, "other", p.takes(0, "other"))
			require.True(t, removePending())
			require.True(t, removePending(), "it will still never run")
			p.shutDown()
			require.False(t, <-runs, "it runs")
			require.False(t, remove(), "it has run")
			require.True(t, removePending())
			require.Equal(t, []string{"0s other"}, p.all())
			require.False(t, p.On(phase, "after the end", nothing)())
		})
	}
}

func TestRemoveTakesOutAHookDuringTheShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty)
		p.On(sequence.Close, "db", p.takes(0, "db"))
		removeDrain := p.On(sequence.Drain, "http", p.takes(0, "http"))
		removeClose := p.On(sequence.Close, "cache", p.takes(0, "cache"))
		p.On(sequence.Leave, "consul", func(context.Context) error {
			if !removeDrain() || !removeClose() {
				return errors.New("it was not removed")
			}
			return nil
		})
		p.shutDown()
		require.NoError(t, p.step(t, sequence.Leave, "consul").Err)
		require.Equal(t, []string{"0s db"}, p.all())
	})
}

// Registration, removal and the end meet at every possible moment.
func TestAHookRunsOnceOrIsRemovedNeverBothAndNeverNeither(t *testing.T) {
	for range 100 {
		p := newProgram(thirty)
		var ran, removed [30]atomic.Int32
		began := make(chan struct{})
		go func() {
			close(began)
			p.begin(nil, false)
		}()
		<-began
		for i := range ran {
			remove := p.On(sequence.Phase(1+i%3), "racing", func(context.Context) error { ran[i].Add(1); return nil })
			if i%2 == 0 && remove() {
				removed[i].Add(1)
			}
		}
		<-p.ended
		require.Eventually(t, func() bool { // those after the end are not waited for
			for i := range ran {
				if ran[i].Load()+removed[i].Load() != 1 {
					return false
				}
			}
			return true
		}, 30*time.Second, time.Millisecond)
	}
}

type key struct{}

func TestTheContextsOfAllHooksAreDerivedFromBase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, func(_ *program, c *sequence.Config) { c.Base = context.WithValue(t.Context(), key{}, "base") })
		check := func(ctx context.Context) error {
			p.note("%v", ctx.Value(key{}))
			return nil
		}
		for _, phase := range threePhases {
			p.On(phase, "hook", func(ctx context.Context) error {
				p.On(sequence.Leave, "late", check)
				return check(ctx)
			})
		}
		p.shutDown()
		p.On(sequence.Drain, "after the end", check)
		synctest.Wait()
		require.Len(t, p.all(), 7)
		for _, entry := range p.all() {
			require.Equal(t, "0s base", entry)
		}
		for _, ctx := range []context.Context{p.Accept(), p.Work()} {
			require.Equal(t, "base", ctx.Value(key{}))
		}
	})
}

package sequence_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/sequence"
)

// Of a process that was frozen a Sequence sees only that Run goes on later than it
// should. Here a callback holds it up. The root package has tests that stop a real
// process, with SIGSTOP.

// sleepUntil returns when so much time has passed.
func (p *program) sleepUntil(d time.Duration) { time.Sleep(d - p.now()) }

// follow is a hook that returns when its context ends. It writes into the journal how
// much time it has.
func (p *program) follow(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		deadline, _ := ctx.Deadline()
		p.note("%s has %v", name, max(0, time.Until(deadline)))
		<-ctx.Done()
		return nil
	}
}

// addFollowers adds a hook that follows its context and one that hangs to Leave and to
// Drain, and two that follow theirs to Close.
func (p *program) addFollowers() {
	for _, phase := range []sequence.Phase{sequence.Leave, sequence.Drain} {
		p.On(phase, "follows", p.follow(phase.String()))
		p.On(phase, "hangs", func(context.Context) error { <-p.ended; return nil })
	}
	p.On(sequence.Close, "second", p.follow("second"))
	p.On(sequence.Close, "first", p.follow("first"))
}

// requireMinima checks what the hooks of addFollowers had if Run has gone on after a
// minute.
func (p *program) requireMinima(t *testing.T) {
	t.Helper()
	require.Equal(t, []string{
		"1m0s leave has 10ms", // a phase has 20 ms, of which hooks have half to return
		"1m0.02s drain has 10ms",
		"1m0.04s first has 225ms", // Close has half a second, and each hook its floor or its share
		"1m0.265s second has 247.5ms",
	}, p.all())
	for _, phase := range []sequence.Phase{sequence.Leave, sequence.Drain} {
		require.NoError(t, p.step(t, phase, "follows").Err)
		require.Equal(t, 20*time.Millisecond, p.step(t, phase, "hangs").Took)
	}
	require.NoError(t, p.step(t, sequence.Close, "first").Err)
	require.NoError(t, p.step(t, sequence.Close, "second").Err)
}

func TestAProcessThatWasFrozenWhenItsShutdownBeganRunsEveryPhaseWithAMinimum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, workUntil(time.Hour), func(p *program, c *sequence.Config) {
			c.Began = func(time.Time, error, sequence.Plan) { p.sleepUntil(time.Minute) }
		})
		p.addFollowers()
		p.shutDown()
		p.requireMinima(t)
		require.ErrorIs(t, context.Cause(p.Work()), sequence.ErrTimeout)
		require.Equal(t, p.made.Add(time.Minute+20*time.Millisecond), p.Snapshot().CutAt, "when Drain begins: work has a moment too")
	})
}

// Reserve, from the forced end on, is over as well.
func TestAProcessThatWasFrozenWhenItsEndWasForcedRunsEveryPhaseWithAMinimum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, workUntil(time.Hour), func(p *program, c *sequence.Config) {
			c.Forced = func(error) { p.sleepUntil(time.Minute) }
		})
		p.On(sequence.Leave, "hook", func(ctx context.Context) error { return context.Cause(ctx) })
		p.On(sequence.Drain, "hook", func(ctx context.Context) error { return context.Cause(ctx) })
		p.On(sequence.Close, "second", p.follow("second"))
		p.On(sequence.Close, "first", p.follow("first"))
		p.begin(errImpatient, true)
		<-p.ended
		requireForced(t, p.step(t, sequence.Leave, "hook").Err)
		requireForced(t, p.step(t, sequence.Drain, "hook").Err)
		require.Equal(t, []string{"1m0.02s first has 225ms", "1m0.245s second has 247.5ms"}, p.all(), "Drain has waited for the work for 20 ms")
	})
}

func TestAProcessThatWasFrozenAtTheEndOfLeaveRunsWhatFollowsWithAMinimum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, workUntil(time.Hour), func(p *program, c *sequence.Config) {
			c.Overdue = func(phase sequence.Phase) {
				if phase == sequence.Leave {
					p.sleepUntil(time.Minute + 20*time.Millisecond)
				}
			}
		})
		p.addFollowers()
		p.shutDown()
		require.Equal(t, []string{
			"0s leave has 9s",
			"1m0.02s drain has 10ms",
			"1m0.04s first has 225ms",
			"1m0.265s second has 247.5ms",
		}, p.all())
	})
}

// The timer that cuts work off may be later than the end of the wait for it.
func TestWorkIsCutOffWhenTheWaitForItEndsAtTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, func(_ *program, c *sequence.Config) {
			c.Drain = func(context.Context) error { time.Sleep(time.Second); return errors.New("2 tasks in flight") }
		}, journalCallbacks)
		p.shutDown()
		require.Equal(t, []string{
			"0s began: <nil>", "0s drain",
			"1s cut off", "1s work ended: shutdown: timed out: the drain is about to end",
			"1s drained: shutdown: timed out: the drain is about to end",
		}, p.all())
		require.Equal(t, p.made.Add(time.Second), p.Snapshot().CutAt)
	})
}

func TestCloseHasHalfASecondIfAFreezeHasTakenItsTime(t *testing.T) {
	for _, test := range []struct {
		plan            sequence.Plan
		begins, timeout time.Duration // of Close
	}{
		{thirty, secs(20), secs(30)},
		{thirty, secs(24.9), secs(30)}, // late, by less than a half of Reserve
		{thirty, secs(29), secs(30)},   // there is more than that
		{thirty, secs(29.7), secs(30.2)},
		{thirty, secs(30), secs(30.5)},
		{thirty, secs(60), secs(60.5)},
		// Hooks that are abandoned and forced ends are late too: by a half of Reserve, or
		// by 100 ms if that is more.
		{sequence.Plan{DrainEnd: secs(20), CloseEnd: secs(20.4), Timeout: secs(20.4), Reserve: secs(.4)}, secs(20.2), secs(20.4)},
		{sequence.Plan{DrainEnd: secs(20), CloseEnd: secs(20.4), Timeout: secs(20.4), Reserve: secs(.4)}, secs(20.201), secs(20.701)},
		{sequence.Plan{DrainEnd: secs(20), CloseEnd: secs(20.12), Timeout: secs(20.12), Reserve: secs(.12)}, secs(20.1), secs(20.12)},
		{sequence.Plan{DrainEnd: secs(20), CloseEnd: secs(20.12), Timeout: secs(20.12), Reserve: secs(.12)}, secs(20.101), secs(20.601)},
	} {
		t.Run(fmt.Sprint(test.plan.Reserve, " at ", test.begins), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProgram(test.plan, func(p *program, c *sequence.Config) {
					c.CutOffError = func(time.Time, error) error { p.sleepUntil(test.begins); return nil }
				})
				p.On(sequence.Close, "hangs", func(context.Context) error { <-p.ended; return nil })
				p.shutDown()
				step := p.step(t, sequence.Close, "hangs")
				require.Equal(t, test.begins, step.At)
				require.Equal(t, test.timeout, step.At+step.Took)
				require.Equal(t, test.timeout, p.Snapshot().Took)
			})
		})
	}
}

// freezeBeforeTheNextHook makes Run sleep when it starts the next Close hook after the
// one that calls this. Its deadline is over then.
func (p *program) freezeBeforeTheNextHook(until time.Duration) {
	p.changes = 2 // the end of the one, and the beginning of the other
	p.frozenUntil = until
}

func freezable(p *program, c *sequence.Config) {
	c.Changed = func() { // with the lock held, which nothing else wants
		if p.changes--; p.changes == 0 {
			p.sleepUntil(p.frozenUntil)
		}
	}
}

func TestAProcessThatWasFrozenInTheMiddleOfCloseRunsTheRestInTurn(t *testing.T) {
	for _, force := range []bool{false, true} {
		t.Run(fmt.Sprintf("forced %t", force), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProgram(thirty, freezable)
				p.On(sequence.Close, "fourth", p.follow("fourth"))
				p.On(sequence.Close, "third", p.follow("third"))
				p.On(sequence.Close, "second", func(context.Context) error { <-p.ended; return nil }) // its time has passed
				p.On(sequence.Close, "first", func(context.Context) error {
					p.note("first")
					p.freezeBeforeTheNextHook(time.Minute)
					return nil
				})
				p.begin(nil, force)
				<-p.ended
				require.Equal(t, []string{
					"0s first",
					"1m0.02s third has 225ms", "1m0.245s fourth has 247.5ms", // second has had its moment
				}, p.all())
				require.NoError(t, p.step(t, sequence.Close, "third").Err)
				require.NoError(t, p.step(t, sequence.Close, "fourth").Err)
			})
		})
	}
}

// What was running when the process was frozen has a moment to return, before the next
// hook runs: it is not abandoned because its timer fires first.
func TestAHookThatRanWhenTheProcessWasFrozenHasAMomentToReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, freezable)
		p.On(sequence.Close, "second", p.follow("second"))
		p.On(sequence.Close, "first", func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(19 * time.Millisecond)
			p.note("first returns")
			return nil
		})
		p.On(sequence.Close, "zeroth", func(context.Context) error {
			p.freezeBeforeTheNextHook(time.Minute)
			return nil
		})
		p.shutDown()
		require.Equal(t, []string{"1m0.019s first returns", "1m0.019s second has 450ms"}, p.all())
		require.NoError(t, p.step(t, sequence.Close, "first").Err)
	})
}

// So has a hook of Leave. (In Drain a timer waits for the lock that the freeze holds.)
func TestALeaveHookThatRanWhenTheProcessWasFrozenHasAMomentToReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, freezable)
		p.changes = 3 // the beginnings of the shutdown, of Leave and of the hook
		p.frozenUntil = time.Minute
		p.On(sequence.Leave, "consul", func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(19 * time.Millisecond)
			return nil
		})
		p.shutDown()
		require.NoError(t, p.step(t, sequence.Leave, "consul").Err)
		require.Equal(t, time.Minute+19*time.Millisecond, p.step(t, sequence.Leave, "consul").Took)
	})
}

// Close has no other half a second. What is left starts all at once, has a moment, and
// sees that its time is up.
func TestAProcessThatIsFrozenAgainInCloseRunsTheRestAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, freezable)
		p.On(sequence.Close, "hangs", func(context.Context) error { <-p.ended; return nil })
		p.On(sequence.Close, "sixth", func(ctx context.Context) error {
			p.note("sixth: %v", context.Cause(ctx))
			time.Sleep(19 * time.Millisecond)
			return nil
		})
		p.On(sequence.Close, "fifth", p.follow("fifth"))
		p.On(sequence.Close, "fourth", func(context.Context) error { <-p.ended; return nil })
		p.On(sequence.Close, "third", func(context.Context) error {
			p.note("third")
			p.freezeBeforeTheNextHook(2 * time.Minute)
			return nil
		})
		p.On(sequence.Close, "second", func(context.Context) error { <-p.ended; return nil })
		p.On(sequence.Close, "first", func(context.Context) error {
			p.note("first")
			p.freezeBeforeTheNextHook(time.Minute)
			return nil
		})
		p.shutDown()
		require.Equal(t, []string{"0s first", "1m0.02s third"}, p.all()[:2])
		require.ElementsMatch(t, []string{"2m0.02s fifth has 0s", "2m0.02s sixth: shutdown: timed out"}, p.all()[2:])
		require.NoError(t, p.step(t, sequence.Close, "fifth").Err)
		require.NoError(t, p.step(t, sequence.Close, "sixth").Err)
		var order []string
		for _, s := range p.Snapshot().Steps[7:] {
			order = append(order, s.Name)
		}
		require.Equal(t, []string{"fifth", "sixth", "hangs"}, order)
		hangs := p.step(t, sequence.Close, "hangs")
		require.True(t, hangs.Abandoned)
		require.Equal(t, 20*time.Millisecond, hangs.Took)
		require.Equal(t, 2*time.Minute+40*time.Millisecond, p.Snapshot().Took)
	})
}

package sequence_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/sequence"
)

func TestWorkContextEndsAPartOfDrainBeforeItsEnd(t *testing.T) {
	for drain, want := range map[time.Duration]time.Duration{
		20 * time.Second: 18 * time.Second, // at most two seconds
		10 * time.Second: 8 * time.Second,
		5 * time.Second:  4 * time.Second, // a fifth
		time.Second:      800 * time.Millisecond,
	} {
		synctest.Test(t, func(t *testing.T) {
			plan := thirty
			plan.DrainEnd = drain
			p := newProgram(plan, workUntil(time.Hour), journalCallbacks)
			p.begin(nil, false)
			<-p.Work().Done()
			require.Equal(t, want, p.now())
			require.ErrorIs(t, context.Cause(p.Work()), sequence.ErrTimeout)
			<-p.ended
			require.Equal(t, p.made.Add(want), p.Snapshot().CutAt)
			require.Equal(t, []string{
				"0s began: <nil>", "0s drain",
				fmt.Sprint(want, " cut off"), fmt.Sprint(want, " work ended: shutdown: timed out: the drain is about to end"),
				fmt.Sprint(drain, " drained: shutdown: timed out: the drain is about to end"), fmt.Sprint(drain, " overdue: drain"),
			}, p.all())
			require.Equal(t, drain, p.Snapshot().Took)
		})
	}
}

func TestWorkContextOutlivesCloseIfTheWorkEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, workUntil(3*time.Second), journalCallbacks)
		p.On(sequence.Close, "flush", func(context.Context) error {
			time.Sleep(25 * time.Second) // past the time at which work would have been cut off
			p.note("flushed: %v", p.Work().Err())
			return nil
		})
		p.shutDown()
		require.Equal(t, []string{"0s began: <nil>", "0s drain", "3s drained: <nil>", "28s flushed: <nil>"}, p.all())
		require.EqualError(t, context.Cause(p.Work()), "shutdown: the shutdown has ended")
		require.Zero(t, p.Snapshot().CutAt)
	})
}

func TestTheFirstCauseOfTheEndOfWorkContextCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, workUntil(time.Hour), journalCallbacks)
		p.begin(nil, false)
		time.Sleep(19 * time.Second)
		p.Force(errImpatient)
		<-p.ended
		require.Equal(t, []string{
			"0s began: <nil>", "0s drain",
			"18s cut off", "18s work ended: shutdown: timed out: the drain is about to end",
			"19s forced: impatient",
			"19.1s drained: shutdown: timed out: the drain is about to end", "19.1s overdue: drain",
		}, p.all())
		require.Equal(t, p.made.Add(18*time.Second), p.Snapshot().CutAt)
	})
}

func TestForceDuringCloseCutsOffWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, journalCallbacks)
		p.On(sequence.Close, "db", p.takes(2*time.Second, "db"))
		p.begin(nil, false)
		time.Sleep(time.Second)
		p.Force(errImpatient)
		<-p.ended
		require.Equal(t, []string{
			"0s began: <nil>", "0s drain", "0s drained: <nil>", "0s db",
			"1s forced: impatient", "1s cut off", "1s work ended: shutdown: forced: impatient",
		}, p.all())
	})
}

// What is in flight is marked before anything can react to the end of WorkContext, and
// named after it.
func TestWorkIsCutOffBeforeWorkContextEndsAndNamedAfterIt(t *testing.T) {
	for _, force := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := newProgram(thirty, workUntil(time.Hour), func(p *program, c *sequence.Config) {
				c.CutOff = func() { p.note("cut off: %v, at %v", p.Work().Err(), p.Snapshot().CutAt.Sub(p.made)) }
				c.WorkEnded = func(cause error) { p.note("ended: %v, %t", p.Work().Err(), errors.Is(context.Cause(p.Work()), cause)) }
			})
			p.begin(nil, false)
			if force {
				time.Sleep(18 * time.Second)
				p.Force(nil)
			}
			<-p.ended
			require.Equal(t, []string{"18s cut off: <nil>, at 18s", "18s ended: context canceled, true"}, p.all())
		})
	}
}

// The goroutine that cuts the work off is preempted when it has marked the last piece,
// which then returns.
func TestTheCauseIsKnownAsSoonAsWorkIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		returned, asked := make(chan struct{}), make(chan struct{})
		var told error
		p := newProgram(thirty, func(_ *program, c *sequence.Config) {
			c.Drain = func(context.Context) error { <-returned; return nil }
			c.CutOff = func() { close(returned); <-asked }
			c.CutOffError = func(_ time.Time, cause error) error { told = cause; close(asked); return nil }
		})
		p.begin(nil, false)
		time.Sleep(time.Second)
		p.Force(errImpatient)
		<-p.ended
		requireForced(t, told)
	})
}

func TestRunDoesNotReturnBeforeTheWorkThatWasCutOffIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		named := false
		p := newProgram(thirty, func(p *program, c *sequence.Config) {
			c.Drain = func(context.Context) error { <-p.Work().Done(); return nil }
			c.WorkEnded = func(error) {
				<-p.Reached(sequence.Done)
				for range 1000 {
					runtime.Gosched()
				}
				named = true
			}
		})
		p.shutDown()
		require.True(t, named)
	})
}

func TestTheErrorOfWorkThatWasCutOffIsThatOfDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := errors.New("2 tasks cut off")
		p := newProgram(thirty, journalCallbacks, func(_ *program, c *sequence.Config) {
			c.CutOffError = func(time.Time, error) error { return cut }
		})
		p.shutDown()
		require.Equal(t, cut, p.step(t, sequence.Drain, "").Err)
		require.Equal(t, []string{"0s began: <nil>", "0s drain"}, p.all(), "no hook has failed")
	})
}

// Work that Drain hooks admit is waited for, and what they take is lost to it.
func TestTheWorkIsWaitedForUntilTheEndOfDrainAlsoIfADrainHookHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deadline time.Duration
		p := newProgram(thirty, func(p *program, c *sequence.Config) {
			c.Drain = func(ctx context.Context) error {
				end, _ := ctx.Deadline()
				deadline = end.Sub(p.made)
				require.Error(t, ctx.Err())
				return ctx.Err()
			}
		}, journalCallbacks)
		p.On(sequence.Drain, "http", p.hang("http"))
		p.shutDown()
		require.Equal(t, 20*time.Second, deadline)
		require.Equal(t, []string{
			"0s began: <nil>", "0s http", "18s cut off", "18s work ended: shutdown: timed out: the drain is about to end",
			"19s http: shutdown: timed out", "20s drain", "20s drained: shutdown: timed out: the drain is about to end", "20s overdue: drain",
			"20s failed: drain http: did not return in time and was abandoned, after the end false",
		}, p.all())
	})
}

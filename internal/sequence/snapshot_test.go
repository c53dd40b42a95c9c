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

// secs makes tables of times short.
func secs(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func TestASnapshotSaysInEachPhaseWhatRunsAndWhatIsToCome(t *testing.T) {
	plan := thirty
	plan.LameDuck = secs(5)
	const leave, drain, closing = sequence.Leave, sequence.Drain, sequence.Close
	pendingClose := []sequence.Step{
		{Phase: closing, Name: "cache", At: secs(20), Ends: secs(29.5)}, // all that is left, less a floor for the next
		{Phase: closing, Name: "db", At: secs(29.5), Ends: secs(30)},
	}
	http := sequence.Step{Phase: drain, Name: "http", At: secs(5), Ends: secs(20)}
	consul := sequence.Step{Phase: leave, Name: "consul", Took: secs(2)}
	left := []sequence.Step{{Phase: leave, Took: secs(5)}, consul}
	drained := append(left[:2:2], sequence.Step{Phase: drain, At: secs(5), Took: secs(4)}, sequence.Step{Phase: drain, Name: "http", At: secs(5), Took: secs(3)})
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(plan, workUntil(secs(9)))
		p.On(closing, "db", p.takes(secs(4), "db"))
		p.On(leave, "consul", p.takes(secs(2), "consul"))
		p.On(closing, "cache", p.takes(secs(1), "cache"))
		p.On(drain, "http", p.takes(secs(3), "http"))
		require.Equal(t, sequence.Snapshot{
			Plan:    plan,
			Pending: append([]sequence.Step{{Phase: leave, Name: "consul", Ends: secs(10)}, http}, pendingClose...),
		}, p.Snapshot())

		cause := errors.New("cause")
		p.begin(cause, false)
		for _, test := range []struct {
			at, ends       time.Duration
			phase          sequence.Phase
			steps, pending []sequence.Step
		}{
			{secs(1), secs(10), leave, []sequence.Step{
				{Phase: leave, Took: secs(1), Running: true},
				{Phase: leave, Name: "consul", Took: secs(1), Ends: secs(10), Running: true},
			}, append([]sequence.Step{http}, pendingClose...)},
			{secs(3), secs(5), leave, []sequence.Step{{Phase: leave, Took: secs(3), Running: true}, consul}, append([]sequence.Step{http}, pendingClose...)},
			{secs(6), secs(20), drain, append(left[:2:2],
				sequence.Step{Phase: drain, At: secs(5), Took: secs(1), Running: true},
				sequence.Step{Phase: drain, Name: "http", At: secs(5), Took: secs(1), Ends: secs(20), Running: true}), pendingClose},
			{secs(8.5), secs(20), drain, append(left[:2:2],
				sequence.Step{Phase: drain, At: secs(5), Took: secs(3.5), Running: true},
				sequence.Step{Phase: drain, Name: "http", At: secs(5), Took: secs(3)}), pendingClose},
			{secs(9.5), secs(30), closing, append(drained[:4:4],
				sequence.Step{Phase: closing, At: secs(9), Took: secs(.5), Running: true},
				sequence.Step{Phase: closing, Name: "cache", At: secs(9), Took: secs(.5), Ends: secs(29.5), Running: true}), pendingClose[1:]},
			{secs(11), secs(30), closing, append(drained[:4:4],
				sequence.Step{Phase: closing, At: secs(9), Took: secs(2), Running: true},
				sequence.Step{Phase: closing, Name: "cache", At: secs(9), Took: secs(1)},
				sequence.Step{Phase: closing, Name: "db", At: secs(10), Took: secs(1), Ends: secs(30), Running: true}), nil},
		} {
			time.Sleep(test.at - p.now())
			require.Equal(t, sequence.Snapshot{
				Phase: test.phase, Begun: p.made, Took: test.at, Cause: cause, Plan: plan, Ends: test.ends, Steps: test.steps, Pending: test.pending,
			}, p.Snapshot(), "at %v", test.at)
		}
		<-p.ended
		end := sequence.Snapshot{
			Phase: sequence.Done, Begun: p.made, Took: secs(14), Cause: cause, Plan: plan, Steps: append(drained[:4:4],
				sequence.Step{Phase: closing, At: secs(9), Took: secs(5)},
				sequence.Step{Phase: closing, Name: "cache", At: secs(9), Took: secs(1)},
				sequence.Step{Phase: closing, Name: "db", At: secs(10), Took: secs(4)}),
		}
		require.Equal(t, end, p.Snapshot())
		time.Sleep(time.Hour)
		p.Snapshot().Steps[0].Name = "changed"
		require.Equal(t, end, p.Snapshot(), "it is a copy, and does not change any more")
	})
}

func TestASnapshotOfAForcedShutdownPlansNoHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, workUntil(time.Hour))
		for _, phase := range threePhases {
			p.On(phase, "hangs", p.hang("hangs"))
		}
		p.On(sequence.Close, "first", nothing)
		p.begin(nil, false)
		time.Sleep(secs(1))
		p.Force(errImpatient)
		s := p.Snapshot()
		requireForced(t, s.Forced)
		require.Equal(t, p.made.Add(secs(1)), s.CutAt)
		require.Equal(t, []sequence.Step{
			{Phase: sequence.Drain, Name: "hangs"}, {Phase: sequence.Close, Name: "first"}, {Phase: sequence.Close, Name: "hangs"},
		}, s.Pending, "in the order in which they will run")
		time.Sleep(secs(1))
		s = p.Snapshot()
		require.Equal(t, sequence.Close, s.Phase)
		require.Equal(t, secs(11), s.Ends, "Reserve after the forced end")
		for _, step := range s.Steps {
			require.Zero(t, step.Ends)
		}
		<-p.ended
	})
}

// What a Snapshot says of a hook that hangs comes true.
func TestAHookThatHangsIsAbandonedWhenItsStepEnds(t *testing.T) {
	for _, phase := range threePhases {
		for _, late := range []time.Duration{0, secs(1), secs(15), secs(25)} { // in Leave, in Drain, in Close
			t.Run(fmt.Sprint(phase, " hook at ", late), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					plan := thirty
					if phase != sequence.Close && late == secs(25) {
						plan.CloseEnd -= 20 * time.Millisecond // that late it has this moment more
					}
					p := newProgram(plan, workUntil(time.Hour))
					p.On(sequence.Leave, "holds Leave", p.takes(secs(5), "leave"))
					p.On(sequence.Close, "db", p.takes(secs(7), "db"))
					p.On(sequence.Close, "cache", p.takes(secs(2), "cache"))
					started := make(chan struct{})
					hang := func(context.Context) error { close(started); <-p.ended; return nil }
					if late == 0 {
						p.On(phase, "hangs", hang)
					}
					p.begin(nil, false)
					if late > 0 {
						time.Sleep(late)
						p.On(phase, "hangs", hang)
					}
					<-started
					step := p.step(t, phase, "hangs")
					require.True(t, step.Running)
					ends := step.Ends
					require.Greater(t, ends, step.At)
					<-p.ended
					step = p.step(t, phase, "hangs")
					require.True(t, step.Abandoned)
					require.Equal(t, ends, step.At+step.Took)
					time.Sleep(secs(10)) // the others may have been abandoned too
				})
			})
		}
	}
}

// Begin has returned, and Run has not come to its hooks.
func TestASnapshotBetweenBeginAndRunHasAllHooksPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty)
		p.On(sequence.Leave, "consul", nothing)
		require.True(t, p.Begin(nil, false))
		s := p.Snapshot()
		require.Equal(t, sequence.Leave, s.Phase)
		require.Equal(t, []sequence.Step{{Phase: sequence.Leave, Name: "consul", Ends: secs(10)}}, s.Pending)
		require.Empty(t, s.Steps)
		p.Run()
	})
}

func TestAHookThatIsPendingWhenTheTimeIsUpHasNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, func(_ *program, c *sequence.Config) {
			c.Drain = func(context.Context) error { time.Sleep(secs(40)); return nil } // it is late: the process was frozen
		})
		for i := range 3 {
			p.On(sequence.Close, fmt.Sprint(i), nothing)
		}
		p.begin(nil, false)
		time.Sleep(secs(35))
		require.Len(t, p.Snapshot().Pending, 3)
		for _, h := range p.Snapshot().Pending {
			require.Equal(t, secs(35), h.At)
			require.Equal(t, secs(35), h.Ends)
		}
		<-p.ended
	})
}

// Hooks that are registered while a Close hook runs take their time from what is behind
// it: it has been given its own.
func TestTheEndOfARunningCloseHookIsThatWithWhichItStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty)
		p.On(sequence.Close, "db", p.hang("db"))
		p.begin(nil, false)
		time.Sleep(secs(1))
		before := p.step(t, sequence.Close, "db").Ends
		for range 4 {
			p.On(sequence.Close, "more", nothing)
		}
		require.Equal(t, secs(30), before)
		require.Equal(t, before, p.step(t, sequence.Close, "db").Ends)
		<-p.ended
		require.InDelta(t, before.Seconds(), p.step(t, sequence.Close, "db").Took.Seconds(), 0.02, "which is when it is abandoned")
	})
}

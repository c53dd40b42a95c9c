package sequence_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/sequence"
)

var errImpatient = errors.New("impatient")

func requireForced(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, sequence.ErrForced)
	require.ErrorIs(t, err, errImpatient)
	require.NotErrorIs(t, err, sequence.ErrTimeout)
}

// A hook hangs in each phase, and there is work that never ends.
func TestForceAbandonsLeaveAndDrainHooksAfterAMomentAndLeavesCloseItsReserve(t *testing.T) {
	for name, test := range map[string]struct {
		at      time.Duration
		journal []string
	}{
		"in Leave": {3 * time.Second, []string{
			"0s leave", "3s leave: shutdown: forced: impatient",
			"3.1s drain", "3.1s drain: shutdown: forced: impatient",
			"3.2s close", "12.02s close: shutdown: timed out",
		}},
		"in Drain": {12 * time.Second, []string{
			"0s leave", "9s leave: shutdown: timed out",
			"10s drain", "12s drain: shutdown: forced: impatient",
			"12.1s close", "21.01s close: shutdown: timed out",
		}},
		"in Close, where no less than Reserve is left": {23 * time.Second, []string{
			"0s leave", "9s leave: shutdown: timed out",
			"10s drain", "19s drain: shutdown: timed out",
			"20s close", "29s close: shutdown: timed out",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProgram(thirty, workUntil(time.Hour))
				for _, phase := range threePhases {
					p.On(phase, phase.String(), p.hang(phase.String()))
				}
				p.begin(nil, false)
				time.Sleep(test.at)
				p.Force(errImpatient)
				if test.at < 20*time.Second {
					requireForced(t, context.Cause(p.Work()))
				}
				<-p.ended
				require.Equal(t, test.journal, p.all())
				s := p.Snapshot()
				require.Equal(t, min(test.at+10*time.Second, 30*time.Second), s.Took)
				requireForced(t, s.Forced)
				for _, phase := range threePhases {
					step := p.step(t, phase, phase.String())
					require.True(t, step.Abandoned)
					if step.At+step.Took < test.at {
						require.Equal(t, sequence.ErrAbandoned, step.Err)
						continue
					}
					require.ErrorIs(t, step.Err, sequence.ErrForced)
					require.NotErrorIs(t, step.Err, sequence.ErrTimeout)
					require.EqualError(t, step.Err, sequence.ErrAbandoned.Error())
				}
			})
		})
	}
}

func TestForceDuringCloseShortensItToReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty)
		p.On(sequence.Close, "second", p.hang("second"))
		p.On(sequence.Close, "first", p.hang("first"))
		p.begin(nil, false)
		time.Sleep(5 * time.Second)
		p.Force(errImpatient)
		requireForced(t, context.Cause(p.Work()))
		<-p.ended
		require.Equal(t, []string{
			"0s first", "13.55s first: shutdown: forced", // a tenth of 9.5 s to return, and half a second for the other one
			"14.5s second", "14.95s second: shutdown: timed out",
		}, p.all())
		require.Equal(t, 15*time.Second, p.Snapshot().Took)
	})
}

func TestForceDuringCloseShortensTheWaitForLateHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty)
		p.On(sequence.Close, "db", func(context.Context) error {
			p.On(sequence.Drain, "late", func(context.Context) error { <-p.ended; return nil })
			return nil
		})
		p.begin(nil, false)
		time.Sleep(5 * time.Second)
		p.Force(errImpatient)
		<-p.ended
		require.Equal(t, 15*time.Second+20*time.Millisecond, p.Snapshot().Took)
		require.ErrorIs(t, p.step(t, sequence.Drain, "late").Err, sequence.ErrForced)
	})
}

func TestBeginWithForceLeavesOnlyCloseToRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := thirty
		plan.LameDuck = 5 * time.Second
		p := newProgram(plan, workUntil(time.Hour))
		for _, phase := range threePhases {
			p.On(phase, phase.String(), p.hang(phase.String()))
		}
		p.begin(errImpatient, true)
		requireForced(t, context.Cause(p.Work()))
		require.Equal(t, errImpatient, context.Cause(p.Accept()))
		<-p.ended
		require.Equal(t, []string{
			"0s leave", "0s leave: shutdown: forced: impatient",
			"100ms drain", "100ms drain: shutdown: forced: impatient",
			"200ms close", "9.02s close: shutdown: timed out",
		}, p.all())
		require.Equal(t, 10*time.Second, p.Snapshot().Took)
	})
}

func TestAForcedShutdownEndsAtOnceIfEverythingFollowsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := thirty
		plan.LameDuck = 5 * time.Second
		p := newProgram(plan, func(p *program, c *sequence.Config) {
			c.Drain = func(context.Context) error { <-p.Work().Done(); return nil }
		})
		for _, phase := range threePhases {
			p.On(phase, phase.String(), func(ctx context.Context) error {
				if phase != sequence.Close {
					<-ctx.Done()
				}
				return nil
			})
		}
		p.begin(nil, false)
		time.Sleep(time.Second)
		p.Force(nil)
		<-p.ended
		require.Equal(t, time.Second, p.Snapshot().Took)
		require.ErrorIs(t, p.Snapshot().Forced, sequence.ErrForced)
	})
}

func TestTheMomentAfterAForcedEndIsATenthOfReserveWithinBounds(t *testing.T) {
	for reserve, want := range map[time.Duration]time.Duration{
		time.Millisecond: 20 * time.Millisecond, 500 * time.Millisecond: 50 * time.Millisecond, time.Hour: 100 * time.Millisecond,
	} {
		synctest.Test(t, func(t *testing.T) {
			plan := thirty
			plan.Reserve = reserve
			p := newProgram(plan)
			p.On(sequence.Leave, "hangs", func(context.Context) error { <-p.ended; return nil })
			p.On(sequence.Leave, "returns", func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(want - time.Millisecond)
				return nil
			})
			p.begin(nil, true)
			<-p.ended
			require.Equal(t, want, p.step(t, sequence.Leave, "hangs").Took)
			require.NoError(t, p.step(t, sequence.Leave, "returns").Err)
		})
	}
}

func TestOnlyTheFirstForceHasAnEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, workUntil(time.Hour), journalCallbacks)
		p.On(sequence.Close, "db", p.hang("db"))
		p.begin(nil, false)
		time.Sleep(time.Second)
		p.Force(errImpatient)
		time.Sleep(2 * time.Second)
		p.Force(errors.New("again"))
		<-p.ended
		requireForced(t, p.Snapshot().Forced)
		require.Equal(t, 11*time.Second, p.Snapshot().Took)
		require.Equal(t, p.made.Add(time.Second), p.Snapshot().CutAt)
		for _, entry := range p.all() {
			require.NotContains(t, entry, "again")
		}
	})
}

func TestForceHasNoEffectBeforeTheShutdownOrAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, journalCallbacks)
		p.Force(errImpatient)
		require.NoError(t, p.Work().Err())
		require.Nil(t, p.Snapshot().Forced)
		p.On(sequence.Leave, "consul", p.takes(time.Second, "consul"))
		p.shutDown()
		p.Force(errImpatient)
		require.Nil(t, p.Snapshot().Forced)
		require.Zero(t, p.Snapshot().CutAt)
		require.Equal(t, []string{"0s began: <nil>", "0s consul", "1s drain", "1s drained: <nil>"}, p.all())
		require.NotErrorIs(t, context.Cause(p.Work()), sequence.ErrForced)
	})
}

func TestForcedEndIsTheEarlierOfTheTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty)
		p.On(sequence.Leave, "consul", p.hang("consul"))
		p.begin(nil, false)
		end := time.Now().Add(30 * time.Second)
		require.Equal(t, end, p.ForcedEnd(end), "nothing is forced")
		time.Sleep(time.Second)
		p.Force(nil)
		require.Equal(t, p.made.Add(11*time.Second), p.ForcedEnd(end))
		require.Equal(t, p.made.Add(2*time.Second), p.ForcedEnd(p.made.Add(2*time.Second)))
		<-p.ended
		require.Equal(t, p.made.Add(11*time.Second), p.ForcedEnd(end))
	})
}

// Leave and Drain hooks that are registered in Close are not left to find out by
// themselves that the end is forced.
func TestForceInCloseEndsTheContextOfALateHook(t *testing.T) {
	for _, phase := range []sequence.Phase{sequence.Leave, sequence.Drain} {
		synctest.Test(t, func(t *testing.T) {
			p := newProgram(thirty)
			p.On(sequence.Close, "db", func(context.Context) error {
				p.On(phase, "late", func(ctx context.Context) error {
					<-ctx.Done()
					p.note("late: %v", context.Cause(ctx))
					return nil
				})
				time.Sleep(2 * time.Second)
				return nil
			})
			p.begin(nil, false)
			time.Sleep(time.Second)
			p.Force(errImpatient)
			<-p.ended
			require.Equal(t, []string{"1s late: shutdown: forced: impatient"}, p.all())
		})
	}
}

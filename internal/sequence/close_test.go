package sequence_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/sequence"
)

func TestCloseHooksRunOneAfterAnotherLastInFirstOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty)
		for i := range 5 {
			p.On(sequence.Close, fmt.Sprint(i), p.takes(time.Second, fmt.Sprint(i)))
		}
		p.shutDown()
		require.Equal(t, []string{"0s 4", "1s 3", "2s 2", "3s 1", "4s 0"}, p.all())
	})
}

func TestACloseHookHasAllThatIsLeftLessAFloorForEachHookAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty)
		for _, name := range []string{"third", "second", "first"} {
			p.On(sequence.Close, name, p.hang(name))
		}
		p.shutDown()
		require.Equal(t, []string{
			"0s first", "28s first: shutdown: timed out", // a second to return, and a floor of half a second for each of the others
			"29s second", "29.45s second: shutdown: timed out", // a tenth of its time to return
			"29.5s third", "29.95s third: shutdown: timed out",
		}, p.all())
		require.Equal(t, 30*time.Second, p.Snapshot().Took)
	})
}

func TestTheFloorIsAnEqualShareIfThereIsNotEnoughTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(sequence.Plan{DrainEnd: time.Second, CloseEnd: 2 * time.Second, Timeout: 2 * time.Second, Reserve: time.Second})
		for i := range 10 {
			p.On(sequence.Close, fmt.Sprint(i), p.hang("hook"))
		}
		p.shutDown()
		require.Equal(t, 2*time.Second, p.Snapshot().Took)
		for i := range 10 {
			step := p.step(t, sequence.Close, fmt.Sprint(i))
			require.True(t, step.Abandoned)
			require.Equal(t, 200*time.Millisecond, step.Took)
		}
	})
}

func TestACloseHookThatIsQuickLeavesItsTimeToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty)
		p.On(sequence.Close, "db", p.hang("db"))
		for range 10 {
			p.On(sequence.Close, "quick", nothing)
		}
		p.shutDown()
		require.Equal(t, []string{"0s db", "29s db: shutdown: timed out"}, p.all())
	})
}

func TestCloseHasItsReserveIfEarlierPhasesHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty, workUntil(time.Hour))
		for _, phase := range threePhases {
			p.On(phase, phase.String(), p.hang(phase.String()))
		}
		p.shutDown()
		require.Equal(t, []string{
			"0s leave", "9s leave: shutdown: timed out",
			"10s drain", "19s drain: shutdown: timed out",
			"20s close", "29s close: shutdown: timed out",
		}, p.all())
		require.Equal(t, 30*time.Second, p.Snapshot().Took)
	})
}

// A hook of Leave or Drain that is registered during Close has until the end of Close,
// and a moment more.
func TestALateHookThatHangsInCloseIsAbandonedAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty)
		p.On(sequence.Close, "db", func(context.Context) error {
			p.On(sequence.Leave, "hangs", p.hang("hangs"))
			p.On(sequence.Drain, "returns", func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(19 * time.Millisecond)
				return nil
			})
			return nil
		})
		p.shutDown()
		require.Equal(t, []string{"0s hangs", "30s hangs: shutdown: timed out"}, p.all())
		require.Equal(t, 30*time.Second+20*time.Millisecond, p.Snapshot().Took)
		require.True(t, p.step(t, sequence.Leave, "hangs").Abandoned)
		require.NoError(t, p.step(t, sequence.Drain, "returns").Err)
	})
}

func TestACloseHookThatIsRegisteredWhenTheTimeIsUpStillRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(thirty)
		p.On(sequence.Close, "db", func(context.Context) error {
			p.On(sequence.Leave, "hangs", p.hang("hangs"))
			return nil
		})
		p.begin(nil, false)
		time.Sleep(30*time.Second + 10*time.Millisecond)
		p.On(sequence.Close, "at the last moment", func(ctx context.Context) error { p.note("last: %v", ctx.Err()); return nil })
		<-p.ended
		synctest.Wait()
		require.Equal(t, "30.02s last: context deadline exceeded", p.all()[2])
		step := p.step(t, sequence.Close, "at the last moment")
		require.True(t, step.Abandoned, "it runs, and nothing waits for it")
		require.Equal(t, sequence.Done, p.Phase())
	})
}

func TestUnwindIsATenthOfTheTimeWithinBounds(t *testing.T) {
	for of, want := range map[time.Duration]time.Duration{
		-time.Second:           0,
		0:                      0,
		10 * time.Millisecond:  5 * time.Millisecond,
		40 * time.Millisecond:  20 * time.Millisecond,
		200 * time.Millisecond: 20 * time.Millisecond,
		5 * time.Second:        500 * time.Millisecond,
		time.Minute:            time.Second,
	} {
		require.Equal(t, want, sequence.Unwind(of), "%v", of)
	}
}

package guard

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/load"
)

func TestABrokenPromiseIsAFailure(t *testing.T) {
	good := outcome{Result: load.Result{Requests: 100}}
	lost := outcome{Result: load.Result{Requests: 100, Lost: map[string]int{"EOF": 1}}}
	reset := outcome{Result: load.Result{Requests: 100, Lost: map[string]int{load.DialReset: 1}}}
	slow := outcome{Result: load.Result{Requests: 100, HeldUp: allowedHeldUp}}
	slower := outcome{Result: load.Result{Requests: 100, HeldUp: allowedHeldUp + 1}}
	exit1 := outcome{Result: load.Result{Requests: 100}, exit: 1}
	cut := outcome{Result: load.Result{Requests: 100}, stream: "cut"}
	for _, test := range []struct {
		name    string
		cell    cell
		control outcome
		round   outcome
		failure string // "" for none
		note    string
	}{
		{name: "kept", control: lost, round: good},
		{name: "lost", control: lost, round: lost, failure: "1 of 100 requests lost in 1 shutdowns (EOF 1)"},
		{name: "a dial reset", control: lost, round: reset, failure: "dial RST 1"},

		{name: "dials held up by the machine", control: lost, round: slow},
		{name: "dials held up", control: lost, round: slower, failure: "21 dials held up in 1 shutdowns"},

		{name: "exit status", control: lost, round: exit1, failure: "1 of 1 rounds did not exit with status 0"},
		{name: "exit status promised", cell: cell{promise: promise{exit: 1}}, control: lost, round: exit1},
		{name: "stream", cell: cell{promise: promise{stream: "ended"}}, control: lost, round: cut, failure: "the stream was not ended"},
		{name: "stream promised", cell: cell{promise: promise{stream: "cut"}}, control: lost, round: cut},

		{name: "a control that shows nothing", control: good, round: good, failure: "shows nothing", note: "lost nothing either"},
	} {
		t.Run(test.name, func(t *testing.T) {
			library, control := newRow(test.cell, true), newRow(test.cell, false)
			library.add(test.round, 1)
			control.add(test.control, 1)
			failures, notes := judge([]*row{library, control})
			requireOne(t, test.failure, failures)
			requireOne(t, test.note, notes)
		})
	}
}

func requireOne(t *testing.T, want string, got []string) {
	t.Helper()
	if want == "" {
		require.Empty(t, got)
		return
	}
	require.Len(t, got, 1)
	require.Contains(t, got[0], want)
}

func TestLossesOnIdleConnectionsAreExcusedInATenthOfTheRounds(t *testing.T) {
	round := func(idle, stall time.Duration) outcome {
		return outcome{Result: load.Result{Requests: 9, Lost: map[string]int{"EOF": 1}, IdleBefore: []time.Duration{idle}}, stall: stall}
	}
	t.Run("a tenth of the rounds", func(t *testing.T) {
		r := newRow(cell{}, true)
		for range 5 {
			r.add(round(2*linger, 0), 50)
		}
		require.Empty(t, r.shortfalls())
		require.Equal(t, "5, lost 5", r.idle.String())
		require.Equal(t, 5*8, r.sum.Requests)
		r.add(round(2*linger, 0), 50)
		require.Contains(t, r.shortfalls(), losses)
	})
	t.Run("the stall of the clients counts as idle time", func(t *testing.T) {
		r := newRow(cell{}, true)
		r.add(round(linger/2, linger), 1)
		require.Empty(t, r.shortfalls())
	})
	t.Run("what the service knows matters more", func(t *testing.T) {
		for idle, broken := range map[time.Duration]bool{linger - time.Millisecond: true, linger + time.Millisecond: false} {
			o := round(linger/2, linger)
			wrote := time.Now()
			o.Ended = []load.Ended{{Client: "a", Wrote: wrote}}
			o.idleSince = map[string]time.Time{"a": wrote.Add(-idle)}
			r := newRow(cell{}, true)
			r.add(o, 1)
			require.Equal(t, broken, len(r.shortfalls()) > 0, "idle for %v", idle)
		}
	})
	t.Run("not on a connection in use", func(t *testing.T) {
		r := newRow(cell{}, true)
		r.add(round(linger/4, linger/4), 50)
		require.Contains(t, r.shortfalls(), losses)
	})
	t.Run("not with another loss in the round", func(t *testing.T) {
		r := newRow(cell{}, true)
		o := round(2*linger, 0)
		o.Lost["503"] = 1
		r.add(o, 50)
		require.Contains(t, r.shortfalls(), losses)
	})
	t.Run("the exit status of the round counts", func(t *testing.T) {
		r := newRow(cell{}, true)
		o := round(2*linger, 0)
		o.exit = 2
		r.add(o, 50)
		require.Contains(t, r.shortfalls(), exitStatus)
	})
	t.Run("not without the library", func(t *testing.T) {
		r := newRow(cell{}, false)
		r.add(round(2*linger, 0), 50)
		require.Equal(t, 1, r.sum.Losses())
	})
}

func TestAServiceTellsSinceWhenItsConnectionsAreIdle(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a service is stopped on Linux only")
	}
	c := cells()[slices.IndexFunc(cells(), func(c cell) bool { return c.name == "pause 200ms" })]
	o, err := c.run(t.Context(), true)
	require.NoError(t, err)
	require.NotEmpty(t, o.idleSince)
	require.NotContains(t, o.log, idlePrefix)
}

func TestRequestsThatWereNotSentAreExcusedInAHundredthOfTheRounds(t *testing.T) {
	round := func(other int) outcome {
		return outcome{Result: load.Result{Requests: 9, Lost: map[string]int{load.Unsent: 2, "GOAWAY": other}}}
	}
	r := newRow(cell{}, true)
	for range 3 {
		r.add(round(0), 300)
	}
	require.Empty(t, r.shortfalls())
	require.Equal(t, "3, lost 6", r.unsent.String())
	require.Equal(t, 3*7, r.sum.Requests)
	r.add(round(0), 300)
	require.Contains(t, r.shortfalls(), losses)

	for planned, other := range map[int]int{99: 0, 300: 1} {
		r := newRow(cell{}, true)
		r.add(round(other), planned)
		require.Equal(t, other == 0, len(r.shortfalls()) == 0, "one round is excused, but not with another loss")
	}
	control := newRow(cell{}, false)
	control.add(round(0), 300)
	require.Equal(t, 2, control.sum.Losses())
}

func TestAStallIsMeasured(t *testing.T) {
	s := watchStalls()
	time.Sleep(2 * stallTick) // so that the timer has fired
	require.Less(t, s.end(), time.Minute)
}

func TestCellNamesAreUnique(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range cells() {
		require.False(t, seen[c.name], c.name)
		seen[c.name] = true
	}
	require.Greater(t, len(seen), 70)
}

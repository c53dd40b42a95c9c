package guard

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/load"
)

// What a round may show, and what is said of it.
func TestAPromiseThatIsBrokenIsSaidSo(t *testing.T) {
	good := outcome{Result: load.Result{Requests: 100}}
	lost := outcome{Result: load.Result{Requests: 100, Lost: map[string]int{"EOF": 1}}}
	reset := outcome{Result: load.Result{Requests: 100, Lost: map[string]int{load.DialReset: 1}}}
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
		{name: "within the limit", cell: cell{promise: promise{lost: 1}}, control: lost, round: lost},
		{name: "exit status", control: lost, round: exit1, failure: "1 of 1 rounds did not exit with status 0"},
		{name: "exit status promised", cell: cell{promise: promise{exit: 1}}, control: lost, round: exit1},
		{name: "stream", cell: cell{promise: promise{stream: "ended"}}, control: lost, round: cut, failure: "the stream was not ended"},
		{name: "stream promised", cell: cell{promise: promise{stream: "cut"}}, control: lost, round: cut},
		{name: "expected", cell: cell{issue: "some title"}, control: lost, round: lost, note: "expected to fail"},
		{name: "expected, but holds", cell: cell{issue: "some title"}, control: lost, round: good, note: "need no longer"},
		{name: "a control that shows nothing", control: good, round: good, failure: "shows nothing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			library, control := newRow(test.cell, true), newRow(test.cell, false)
			require.False(t, library.add(test.round, 1))
			require.False(t, control.add(test.control, 1))
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

func TestARoundInWhichTheClientsStoodStillIsRepeatedIfItLostSomething(t *testing.T) {
	lost := outcome{Result: load.Result{Requests: 9, Lost: map[string]int{"EOF": 1}}, stall: 2 * stallLimit}
	good := outcome{Result: load.Result{Requests: 9}, stall: 2 * stallLimit}

	r := newRow(cell{}, true)
	require.False(t, r.add(good, 50))
	for range 5 { // a tenth of the rounds
		require.True(t, r.add(lost, 50))
	}
	require.Empty(t, r.shortfalls())
	require.Equal(t, "5, lost 5", r.stalls())
	require.False(t, r.add(lost, 50), "a loss in each round is no stall's")
	require.NotEmpty(t, r.shortfalls())

	control := newRow(cell{}, false)
	require.False(t, control.add(lost, 50))
}

func TestAStallIsMeasured(t *testing.T) {
	s := watchStalls()
	time.Sleep(2 * stallTick) // so that it has looked
	require.Less(t, s.end(), time.Minute)
}

func TestCellsHaveNamesOfTheirOwn(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range cells() {
		require.False(t, seen[c.name], c.name)
		seen[c.name] = true
	}
	require.Greater(t, len(seen), 70)
}

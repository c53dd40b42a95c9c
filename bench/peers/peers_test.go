package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/bench/internal/child"
	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
)

func TestMain(m *testing.M) {
	if child.RunRole(roles()) {
		return
	}
	os.Exit(m.Run())
}

func TestBadArgumentsAreErrors(t *testing.T) {
	for _, args := range [][]string{
		{"-rounds", "0"}, {"-clients", "0"}, {"-peers", "no such peer"}, {"-peers", "("}, {"-peers", "fx", "-write"}, {"argument"},
	} {
		_, err := parse(args, io.Discard)
		require.Error(t, err, "%q", args)
	}
}

func TestTheLibraryIsAlwaysMeasured(t *testing.T) {
	p, err := parse([]string{"-peers", "fx"}, io.Discard)
	require.NoError(t, err)
	var names []string
	for _, peer := range p.peers {
		names = append(names, peer.name)
	}
	require.Equal(t, []string{library, library + overGRPC, "uber-go/fx"}, names)
}

func TestTheLinesOfEachPeerAreCounted(t *testing.T) {
	counts, err := countLines()
	require.NoError(t, err)
	require.Len(t, counts, len(peers))
	for _, p := range peers {
		require.Greater(t, counts[p.name], 5, p.name)
		require.Less(t, counts[p.name], 100, p.name)
	}
}

func TestARowSaysInWhichColumnsItIsBetterThanTheLibrary(t *testing.T) {
	table := table{
		columns: []string{"lost", "exit", "named", "lines"},
		rows: []row{
			{library, library, []cell{count(0, "0"), sooner(time.Second, 10*time.Millisecond, "1 s"), good(true, "yes"), none}},
			{"worse", library, []cell{count(3, "3"), sooner(2*time.Second, 10*time.Millisecond, "2 s"), good(false, "no"), none}},
			{"equal", library, []cell{count(0, "0"), sooner(995*time.Millisecond, 10*time.Millisecond, "1 s"), good(true, "yes"), count(1, "1")}},
			{"sooner", library, []cell{none, sooner(time.Second/2, 10*time.Millisecond, "0.5 s"), good(true, "yes"), none}},
			{"no row to compare with", library + overGRPC, []cell{count(-1, ""), none, none, none}},
		},
	}
	var better []string
	for _, r := range table.rows {
		better = append(better, table.better(r))
	}
	require.Equal(t, []string{"", "", "", "exit", ""}, better)
}

func TestAnOutcomeIsJudgedByItsEvents(t *testing.T) {
	hook := func(name string) []string { return []string{name + service.HookBegan, name + service.HookEnded} }
	began := []string{service.Connecting, service.SlowBegan}
	all := append(append(hook(service.First), hook(service.Second)...), hook(service.Third)...)
	for _, test := range []struct {
		name    string
		events  []string
		cleaned int
		inOrder bool
	}{
		{"all hooks after the request", append(append(began, service.SlowEnded), all...), 3, true},
		{"all hooks before the end of the request", append(append(began, all...), service.SlowEnded), 3, false},
		{"one hook did not end", append(append(began, service.SlowEnded), all[:5]...), 2, false},
		{"no hook ran", append(began, service.SlowEnded), 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := outcome{events: test.events}
			require.Equal(t, test.cleaned, o.cleaned())
			require.Equal(t, test.inOrder, o.inOrder())
		})
	}
}

func TestAnExitCodeIsGoodIfItIsZeroOnlyIfAllWentWell(t *testing.T) {
	for _, test := range []struct {
		exit             exit
		text             string
		well, badOutcome bool
	}{
		{exit{code: 0}, "0", true, false},
		{exit{code: 1}, "1", false, true},
		{exit{code: 143}, "143", false, true},
		{exit{code: 137, never: true}, "never", false, false},
	} {
		o := outcome{exit: test.exit}
		require.Equal(t, good(test.well, test.text), o.codeFor(true))
		require.Equal(t, good(test.badOutcome, test.text), o.codeFor(false))
	}
}

func TestTablesReplaceOnlyWhatIsBetweenTheMarks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.md")
	require.NoError(t, os.WriteFile(path, []byte("before\n"+tablesBegin+"old\n"+tablesEnd+"\nafter\n"), 0o600))
	require.NoError(t, replace(path, "new\n"))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "before\n"+tablesBegin+"\nnew\n"+tablesEnd+"\nafter\n", string(text))

	require.NoError(t, os.WriteFile(path, []byte("no marks"), 0o600))
	require.ErrorContains(t, replace(path, "new\n"), path)
}

// What docs/peers.md and README.md have are the tables of this program.
func TestTheDocumentationHasAPlaceForTheTables(t *testing.T) {
	for _, name := range []string{"docs/peers.md", "README.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(text), tablesBegin), name)
		require.Equal(t, 1, strings.Count(string(text), tablesEnd), name)
	}
}

// One round in each mode, and all scenarios, of the library and of net/http.
func TestTheLibraryAndNetHTTPAreMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	p, err := parse([]string{"-rounds", "1", "-peers", "net/http|grpc-go"}, io.Discard)
	require.NoError(t, err)
	r, err := p.measure(t.Context(), nil)

	require.NoError(t, err)
	var text strings.Builder
	tables := r.tables()
	printTables(&text, tables)
	tables.head.print(&text)
	t.Logf("%s", &text)
	for _, l := range r.loads {
		require.Equal(t, 1, l.rounds)
		require.GreaterOrEqual(t, l.Requests, 3*p.clients, "%s, %s", l.peer.name, l.mode.name)
		if l.peer.base() == library {
			// A machine that is too slow closes connections on which a request is still
			// to come.
			late := 0
			for _, idle := range l.IdleBefore {
				if idle > 40*time.Millisecond {
					late++
				}
			}
			if !l.peer.grpc {
				require.LessOrEqual(t, l.Losses(), late, "%s: %s", l.mode.name, l.Kinds())
			}
			require.Equal(t, map[string]int{"0": 1}, l.codes)
		}
	}

	for _, p := range p.peers[:2] {
		name := p.name
		require.Equal(t, library, p.base())
		of := r.outcomes[name]
		for scenario, others := range map[string]int{hookFails.name: 2, hookPanics.name: 2, hookHangs.name: 2, stuckRequest.name: 3} {
			o := of[scenario]
			require.Equal(t, others, o.cleaned(), "%s, %s: %q", name, scenario, o.events)
			require.NotZero(t, o.code, "%s, %s", name, scenario)
			require.False(t, o.never, "%s, %s", name, scenario)
		}
		hangs, stuck, slow := of[hookHangs.name], of[stuckRequest.name], of[slowRequest.name]
		require.Contains(t, hangs.output, service.Second)
		require.Contains(t, stuck.output, p.stuckName())
		require.Equal(t, "200", slow.reply)
		require.True(t, slow.inOrder(), slow.events)
		require.Zero(t, slow.code)
	}
	slow, stuck := r.outcomes["net/http"][slowRequest.name], r.outcomes["net/http"][stuckRequest.name]
	require.Equal(t, "200", slow.reply)
	require.True(t, slow.inOrder(), slow.events)
	require.Equal(t, 3, stuck.cleaned(), stuck.events)
	require.NotContains(t, stuck.output, service.StuckPath)
}

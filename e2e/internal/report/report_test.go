package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/load"
)

func TestALostRequestIsAProblemUnlessItIsNobodysFault(t *testing.T) {
	for name, test := range map[string]struct {
		load    load.Result
		problem string // "" means none
	}{
		"nothing lost":            {load: load.Result{Requests: 9}},
		"lost":                    {load: load.Result{Requests: 9, Lost: map[string]int{"EOF": 1}, IdleBefore: []time.Duration{time.Millisecond}}, problem: "1 of 9 requests were lost: EOF 1"},
		"on an idle connection":   {load: load.Result{Requests: 9, Lost: map[string]int{"EOF": 1}, IdleBefore: []time.Duration{2 * linger}}},
		"not sent":                {load: load.Result{Requests: 9, Lost: map[string]int{load.Unsent: 1}}},
		"not sent, and lost":      {load: load.Result{Requests: 9, Lost: map[string]int{load.Unsent: 1, "EOF": 1}}, problem: "2 of 9"},
		"one idle does for one":   {load: load.Result{Requests: 9, Lost: map[string]int{load.Unsent: 1, "EOF": 1}, IdleBefore: []time.Duration{2 * linger}}, problem: "2 of 9"},
		"a load that did nothing": {problem: "there were no requests"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Row{Load: test.load}
			r.NothingLost()
			if test.problem == "" {
				require.Empty(t, r.Problems)
				return
			}
			require.Len(t, r.Problems, 1)
			require.Contains(t, r.Problems[0], test.problem)
		})
	}
}

func TestAnotherExitCodeIsAProblem(t *testing.T) {
	var r Row
	r.ExitsOnly("0")
	require.Equal(t, []string{"the exit codes are  and not 0"}, r.Problems)

	r = Row{}
	r.Exit("0")
	r.ExitsOnly("0")
	require.Empty(t, r.Problems)

	r.Exit("137")
	r.ExitsOnly("0")
	require.Equal(t, []string{"the exit codes are 0 (1), 137 (1) and not 0"}, r.Problems)
}

func TestTheTable(t *testing.T) {
	table := Table{Title: "Docker", Rows: []Row{
		{
			Scenario: "docker stop", Service: "naive", Requirements: []string{"R3", "R7"}, Rounds: 2, Head: true,
			Load:  load.Result{Requests: 9, Lost: map[string]int{"EOF": 1}, Refused: 3, Delayed: 4, IdleBefore: []time.Duration{2 * linger}},
			Exits: map[string]int{"0": 2}, Gone: []time.Duration{time.Second, 2 * time.Second}, Says: "a | `b`\nc",
		},
		{Scenario: "a Job", Service: "m.Job", Rounds: 1, Exits: map[string]int{"1": 1}},
	}}
	var all, head strings.Builder
	table.Print(&all)
	require.Equal(t, "| scenario | service | stops | requests | unanswered | refused | over 0.5 s | exit code | gone after | what is said | |\n"+
		"|---|---|---|---|---|---|---|---|---|---|---|\n"+
		"| docker stop | naive | 2 | 9 | 1: EOF 1 (1 idle) | 3 | 4 | 0 | 2.0 s | `a \\| 'b' c` | R3 R7 |\n"+
		"| a Job | m.Job | 1 |  |  |  |  | 1 |  |  |  |\n\n", all.String())
	table.PrintHead(&head)
	require.Equal(t, "| Docker | service | stops | requests | unanswered | refused | exit code | gone after |\n"+
		"|---|---|---|---|---|---|---|---|\n"+
		"| docker stop | naive | 2 | 9 | 1: EOF 1 (1 idle) | 3 | 0 | 2.0 s |\n\n", head.String())

	head.Reset()
	table.Rows = table.Rows[1:]
	table.PrintHead(&head)
	require.Empty(t, head.String())
}

func TestWriteReplacesThePartAndLeavesTheOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	const page = "before\n<!-- docker -->\nold\n<!-- end -->\nbetween\n<!-- systemd -->\n<!-- end -->\nafter\n"
	require.NoError(t, os.WriteFile(path, []byte(page), 0o600))
	for range 2 {
		require.NoError(t, Write(path, "docker", "new\n"))
	}
	require.NoError(t, Write(path, "systemd", "more\n"))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "before\n<!-- docker -->\n\nnew\n<!-- end -->\nbetween\n<!-- systemd -->\n\nmore\n<!-- end -->\nafter\n", string(text))

	require.ErrorContains(t, Write(path, "kubernetes", ""), `no "<!-- kubernetes -->"`)
}

package main

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/gracefulgo/shutdown/internal/drill"
	"github.com/gracefulgo/shutdown/internal/load"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		play(role)
		return
	}
	os.Exit(m.Run())
}

func TestTheLibraryLosesNothing(t *testing.T) {
	plan, _, err := parse([]string{"-rounds", "2"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	result, err := plan.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	result.Table(&table)
	t.Logf("\n%s", &table)
	if want := 2 * 3; len(result.Rows) != want {
		t.Fatalf("%d rows, want %d", len(result.Rows), want)
	}
	for _, r := range result.Rows {
		if r.Rounds != 2 || r.Requests < 2*3*plan.Clients {
			t.Errorf("%s, %v: %d rounds and %d requests", r.Target.Name, r.Mode, r.Rounds, r.Requests)
		}
	}
	for _, problem := range result.Problems(&plan.Targets[1]) {
		t.Error(problem)
	}
	for _, want := range []string{"SERVER", "plain", "shutdown", "new connections", "keep-alive", "HTTP/2", "median"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table has no %q", want)
		}
	}
}

func TestTheVerdictIsNegativeIfTheLibraryLosesOrPlainDoesNot(t *testing.T) {
	for _, test := range []struct {
		name           string
		plain, library int // requests lost
		exit           string
		ok             bool
		text           string
	}{
		{"only plain loses", 5, 0, "0", true, "http.Server.Shutdown alone lost 5 of 100 requests, 2.5 a shutdown. With the library 0 of 100 were lost in 2 shutdowns."},
		{"the library loses too", 5, 1, "0", false, "With the library 1 of 100 were lost"},
		{"none loses", 0, 0, "0", false, "too light"},
		{"the library exits with another status", 5, 0, "1", false, "The program's exit code was 1, in 2 of 2 shutdowns"},
	} {
		t.Run(test.name, func(t *testing.T) {
			targets := []drill.Target{{Name: plain}, {Name: library}}
			row := func(i, lost int) *drill.Row {
				return &drill.Row{
					Target: &targets[i], Rounds: 2, Exits: map[string]int{test.exit: 2},
					Result: load.Result{Requests: 100, Lost: map[string]int{"RST": lost}},
				}
			}
			text, ok := verdict(drill.Result{
				Plan: drill.Plan{Targets: targets, Signal: syscall.SIGTERM},
				Rows: []*drill.Row{row(0, test.plain), row(1, test.library)},
			})
			if ok != test.ok || !strings.Contains(text, test.text) {
				t.Errorf("%v, %q", ok, text)
			}
		})
	}
}

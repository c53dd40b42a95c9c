package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

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
	p, err := parse([]string{"-rounds", "2"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}

	var log bytes.Buffer
	rows, err := p.measure(t.Context(), &progress{w: &log})

	t.Logf("%s", &log)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	printTable(&table, rows)
	t.Logf("\n%s", &table)
	if want := 2 * 3; len(rows) != want {
		t.Fatalf("%d rows, want %d", len(rows), want)
	}
	for _, r := range rows {
		if r.rounds != 2 || r.Requests < 2*3*p.clients {
			t.Errorf("%s, %v: %d rounds and %d requests", r.service, r.mode, r.rounds, r.Requests)
		}
		if r.service == "shutdown" && (r.Losses() > 0 || r.failed > 0) {
			t.Errorf("%s, %v: %d lost (%s), %d of %d rounds failed", r.service, r.mode, r.Losses(), r.Kinds(), r.failed, r.rounds)
		}
	}
	for _, want := range []string{"SERVER", "plain", "shutdown", "new connections", "keep-alive", "HTTP/2", "median"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table has no %q", want)
		}
	}
}

func TestTheVerdictIsNegativeIfTheLibraryLosesOrPlainDoesNot(t *testing.T) {
	result := func(lost int) load.Result {
		return load.Result{Requests: 100, Lost: map[string]int{"RST": lost}}
	}
	for _, test := range []struct {
		name           string
		plain, library *row
		ok             bool
		text           string
	}{
		{
			name:    "only plain loses",
			plain:   &row{rounds: 2, Result: result(5)},
			library: &row{rounds: 2, Result: result(0)},
			ok:      true,
			text:    "http.Server.Shutdown alone lost 5 of 100 requests, 2.5 a shutdown. With the library 0 of 100 were lost in 2 shutdowns.",
		},
		{
			name:    "the library loses too",
			plain:   &row{rounds: 2, Result: result(5)},
			library: &row{rounds: 2, Result: result(1)},
			text:    "With the library 1 of 100 were lost",
		},
		{
			name:    "none loses",
			plain:   &row{rounds: 2, Result: result(0)},
			library: &row{rounds: 2, Result: result(0)},
			text:    "too light",
		},
		{
			name:    "the library exits with another status",
			plain:   &row{rounds: 2, Result: result(5)},
			library: &row{rounds: 2, Result: result(0), failed: 1},
			text:    "1 of them did not exit with status 0",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.plain.service, test.library.service = "plain", "shutdown"
			text, ok := verdict([]*row{test.plain, test.library})
			if ok != test.ok || !strings.Contains(text, test.text) {
				t.Errorf("%v, %q", ok, text)
			}
		})
	}
}

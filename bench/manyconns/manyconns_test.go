//go:build linux

package main

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gracefulgo/shutdown/bench/internal/child"
)

func TestMain(m *testing.M) {
	if child.RunRole(roles) {
		return
	}
	os.Exit(m.Run())
}

func TestAllRequestsInFlightAreAnswered(t *testing.T) {
	p, err := parse([]string{"-rounds", "2", "-idle", "50", "-inflight", "20", "-hold", "300ms"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}

	var log strings.Builder
	rows, err := p.measure(t.Context(), &log)

	t.Logf("\n%s", &log)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	printTable(&table, rows)
	t.Logf("\n%s", &table)
	if !ok(rows) {
		t.Error("the library lost requests, or exited with another status than 0")
	}
	for _, row := range rows {
		if len(row.rounds) != 2 {
			t.Errorf("%s: %d rounds", row.server, len(row.rounds))
		}
		for _, r := range row.rounds {
			if r.answered != 20 || r.failed != nil {
				t.Errorf("%s: %v", row.server, r)
			}
			if r.exit < 300*time.Millisecond || r.rss == 0 || r.peak < r.rss {
				t.Errorf("%s: not measured: %v", row.server, r)
			}
		}
	}
}

func TestMoreConnectionsThanTheMachineAllowsAreAnError(t *testing.T) {
	if _, err := parse([]string{"-idle", "100000000"}, io.Discard); err == nil {
		t.Error("no error")
	}
}

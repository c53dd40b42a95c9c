package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if when := os.Getenv(whenVariable); when != "" {
		instance(when, os.Getenv(etcdVariable))
		return
	}
	os.Exit(m.Run())
}

func TestDeregisteringFirstLosesNothingAndDeregisteringLastDoes(t *testing.T) {
	rows, err := measure(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}

	var table strings.Builder
	printTable(&table, rows)
	t.Logf("\n%s", &table)
	text, ok := verdict(rows)
	if !ok {
		t.Error(text)
	}
	for _, r := range rows {
		if r.answered < 100 {
			t.Errorf("%s: only %d answers", r.when, r.answered)
		}
	}
	if !strings.Contains(table.String(), "refused") {
		t.Error("the table has no reason for the lost requests")
	}
}

func TestTheVerdictIsBadIfDeregisteringFirstLosesOrDeregisteringLastDoesNot(t *testing.T) {
	lost := func(n int) result {
		return result{answered: 100, lost: map[string]int{"refused": n}, late: map[string]int{"EOF": 1}}
	}
	for _, test := range []struct {
		first, last int
		ok          bool
	}{{0, 5, true}, {1, 5, false}, {0, 0, false}} {
		rows := []row{{deregistersFirst, 1, lost(test.first)}, {deregistersLast, 1, lost(test.last)}}
		if text, ok := verdict(rows); ok != test.ok {
			t.Errorf("%+v: %q", test, text)
		}
	}
}

func TestALossIsTheGatewaysOnlyIfItWasLate(t *testing.T) {
	const ms = int64(time.Millisecond)
	for name, test := range map[string]struct {
		dialing, connected, finished int64 // ms
		late                         bool
	}{
		"in time":                            {1, 2, 3, false},
		"not scheduled before the dial":      {300, 301, 302, true},
		"not scheduled during the dial":      {1, 300, 301, true},
		"not scheduled after the dial":       {1, 2, 300, true},
		"not scheduled, and not written":     {1, 2, 0, true},
		"refused after a second":             {1, 0, 0, false},
		"connected after a second, and lost": {1, 1002, 1003, false},
	} {
		s := &sending{polled: time.Now().Add(-2 * time.Second)}
		s.dialing.Store(test.dialing * ms)
		s.connected.Store(test.connected * ms)
		s.finished.Store(test.finished * ms)
		if s.late() != test.late {
			t.Errorf("%s: late is %v", name, !test.late)
		}
	}
}

package main

import (
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if leaves := os.Getenv(leavesVariable); leaves != "" {
		instance(leaves, os.Getenv(etcdVariable))
		return
	}
	os.Exit(m.Run())
}

func TestWhoLeavesFirstLosesNothingAndWhoLeavesLastDoes(t *testing.T) {
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
			t.Errorf("%s: only %d answers", r.leaves, r.answered)
		}
	}
	if !strings.Contains(table.String(), "refused") {
		t.Error("the table does not say how requests were lost")
	}
}

func TestTheVerdictIsBadIfLeavingFirstLosesOrLeavingLastDoesNot(t *testing.T) {
	lost := func(n int) result { return result{answered: 100, lost: map[string]int{"refused": n}, late: 1} }
	for _, test := range []struct {
		first, last int
		ok          bool
	}{{0, 5, true}, {1, 5, false}, {0, 0, false}} {
		rows := []row{{leavesFirst, 1, lost(test.first)}, {leavesLast, 1, lost(test.last)}}
		if text, ok := verdict(rows); ok != test.ok {
			t.Errorf("%+v: %q", test, text)
		}
	}
}

//go:build linux

package faults

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// progressEvery is how often a long series prints its progress.
const progressEvery = 5 * time.Second

func TestFaults(t *testing.T) {
	first, n := *from, *seeds
	if *oneSeed != 0 {
		first, n = *oneSeed, 1
	}
	clock := startStallClock()
	defer clock.stop()
	began := time.Now()
	table := NewTable()

	todo := make(chan uint64)
	var workers sync.WaitGroup
	for range min(*parallel, n) {
		workers.Go(func() {
			for seed := range todo {
				runSeed(t, seed, clock, table)
			}
		})
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for seed := first; seed < first+uint64(n); { //nolint:gosec // not negative
		select {
		case todo <- seed:
			seed++
		case <-tick.C:
			if n > 20 {
				fmt.Fprintf(os.Stderr, "%v: %s\n", time.Since(began).Round(time.Second), table.Progress(n))
			}
		}
	}
	close(todo)
	workers.Wait()
	for _, wrong := range table.TooMany() {
		t.Error(wrong)
	}
	if testing.Verbose() || n > 20 || t.Failed() {
		table.Print(os.Stderr, time.Since(began), clock.total())
	}
}

// runSeed runs one seed, and fails the test if an invariant does not hold.
func runSeed(t *testing.T, seed uint64, clock *stallClock, table *Table) {
	dir, err := os.MkdirTemp(t.TempDir(), "run")
	if err != nil {
		t.Errorf("seed %d: %v", seed, err)
		return
	}
	o, err := Run(NewPlan(seed), dir, clock, false)
	if err != nil {
		table.Fail()
		t.Errorf("seed %d: %v", seed, err)
		return
	}
	if violations := table.Add(o); len(violations) > 0 {
		t.Errorf("%s", Describe(o, violations))
	}
	if *oneSeed != 0 {
		t.Logf("%s\njournal:\n%s", Describe(o, Check(o)), o.journalText())
	}
	_ = os.RemoveAll(dir) // so that a long series does not fill the disk
}

package inflight

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Tasks begin and end while CutOff is called. A task that has ended before is not on the list, one
// that ends or begins after it is, and none is on it twice.
func TestAllWorkIsCutOffInOneStep(t *testing.T) {
	for range 20 {
		var tracker Tracker
		const workers = 8
		var cut atomic.Int32 // 0 before, 1 while and 2 when it is cut off
		var mu sync.Mutex
		want := make(map[string]bool) // by name: must it be on the list?
		var all sync.WaitGroup
		begun := make(chan struct{}, workers)
		for w := range workers {
			all.Go(func() {
				for i := 0; cut.Load() < 2 || i < 3; i++ {
					name := fmt.Sprint(w, "/", i)
					admitted := cut.Load()
					var end func()
					if i%2 == 0 {
						task, ok := tracker.Begin("", name, nil)
						require.True(t, ok)
						end = func() { tracker.End(task) }
					} else {
						task, ok := tracker.Begin("", "", namer(name))
						require.True(t, ok)
						end = func() { tracker.End(task) }
					}
					if i == 0 {
						begun <- struct{}{}
					}
					ends := cut.Load()
					end()
					ended := cut.Load()
					mu.Lock()
					switch {
					case ended == 0:
						want[name] = false
					case admitted == 2 || ends == 2:
						want[name] = true
					}
					mu.Unlock()
				}
			})
		}
		for range workers {
			<-begun
		}
		cut.Store(1)
		tracker.CutOff()
		cut.Store(2)
		all.Wait()
		listed := make(map[string]int)
		for _, task := range tracker.CutItems() {
			listed[task.Name]++
		}
		for name, must := range want {
			require.Equal(t, must, listed[name] == 1, "%s is on the list %d times", name, listed[name])
		}
		for name, n := range listed {
			require.Equal(t, 1, n, name)
		}
		require.Empty(t, tracker.Items())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, tracker.Drain(ctx), "nothing is in flight")
	}
}

type namer string

func (n namer) TaskName() string { return string(n) }

// A Namer may be called only until its task has ended. The list has the name after that too.
func TestCutOffTasksAreNamedAfterTheyHaveReturned(t *testing.T) {
	var tracker Tracker
	task, _ := tracker.Begin("", "", &lateName{})
	tracker.CutOff()
	tracker.End(task)
	tracker.End(task)
	require.Equal(t, "GET /orders/{id}", tracker.CutItems()[0].Name)
	require.Len(t, tracker.CutItems(), 1)
}

// Each of the two is logged when it happens.
func TestTasksAdmittedAfterTheCutOffAreListedSeparately(t *testing.T) {
	var tracker Tracker
	named := func(tasks []Item) (list []string) {
		for _, task := range tasks {
			list = append(list, task.Name)
		}
		return list
	}
	before, _ := tracker.Begin("", "ends before", nil)
	tracker.End(before)
	cut, _ := tracker.Begin("", "in flight", nil)
	_, _ = tracker.Begin("", "in flight, and goes on", nil)
	tracker.CutOff()
	late, _ := tracker.Begin("", "late", nil)
	_, _ = tracker.Begin("", "late, and goes on", nil)
	for range 2 {
		require.ElementsMatch(t, []string{"in flight", "in flight, and goes on"}, named(tracker.CutInFlight()))
		require.ElementsMatch(t, []string{"late", "late, and goes on"}, named(tracker.LateItems()))
		require.Len(t, tracker.CutItems(), 4)
		tracker.End(cut)
		tracker.End(late)
	}
	require.ElementsMatch(t, []string{"in flight, and goes on", "late, and goes on"}, named(tracker.Items()))
}

// A lateName is known only when the work is about to end.
type lateName struct{ asked int }

func (n *lateName) TaskName() string { n.asked++; return "GET /orders/{id}" }

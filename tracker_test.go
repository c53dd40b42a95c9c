package shutdown_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

func TestDrainWaitsForTheLastTaskAndClosesTheTrackerWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr shutdown.Tracker
		one, ok := tr.Track("one")
		require.True(t, ok)
		var nested func()
		go func() {
			time.Sleep(time.Second)
			nested, ok = tr.Track("nested work of one") // while one is in flight
			one()
			time.Sleep(time.Second)
			nested()
		}()
		start := time.Now()
		require.NoError(t, tr.Drain(context.Background()))
		require.Equal(t, 2*time.Second, time.Since(start))
		require.True(t, ok)

		done, ok := tr.Track("late")
		require.False(t, ok)
		done()
		require.NoError(t, tr.Drain(context.Background()), "a second call finds nothing in flight")
	})
}

func TestDrainOfAnIdleTrackerReturnsAtOnce(t *testing.T) {
	var tr shutdown.Tracker
	done, _ := tr.Track("work")
	done()
	require.NoError(t, tr.Drain(context.Background()))
}

func TestDrainClosesTheTrackerAlsoWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr shutdown.Tracker
		done, _ := tr.Track("stuck")
		cause := errors.New("no more time")
		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, cause)
		defer cancel()
		err := tr.Drain(ctx)
		require.ErrorIs(t, err, cause)
		require.ErrorContains(t, err, "1 still in flight")
		_, ok := tr.Track("late")
		require.False(t, ok)
		require.Len(t, tr.Tasks(), 1)

		go func() { time.Sleep(time.Second); done() }()
		require.NoError(t, tr.Drain(context.Background()), "a second call waits for what is left")
		require.Empty(t, tr.Tasks())
	})
}

func TestConcurrentDrainsAllWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr shutdown.Tracker
		done, _ := tr.Track("work")
		var returned atomic.Int32
		for range 3 {
			go func() {
				if tr.Drain(context.Background()) == nil {
					returned.Add(1)
				}
			}()
		}
		synctest.Wait()
		require.Zero(t, returned.Load())
		done()
		synctest.Wait()
		require.EqualValues(t, 3, returned.Load())
	})
}

func TestASecondDoneDoesNotEndAnotherTask(t *testing.T) {
	var tr shutdown.Tracker
	// More tasks than slots, so that slots are used again.
	var old []func()
	for range 1000 {
		done, _ := tr.Track("old")
		old = append(old, done)
	}
	for _, done := range old {
		done()
	}
	for range 1000 {
		_, ok := tr.Track("new")
		require.True(t, ok)
	}
	for _, done := range old {
		done()
	}
	require.Len(t, tr.Tasks(), 1000)
}

func TestTasksHaveAKind(t *testing.T) {
	m, _ := newManager(t, shutdown.Config{Signals: shutdown.NoSignals()})
	returns := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	_, _ = m.Track("by hand")
	_, _ = m.TrackAs("ftp", "RETR /x")
	m.Go("consumer", returns)
	m.Job("import", returns)
	kinds := map[string]string{}
	for _, task := range m.Tasks() {
		kinds[task.Name] = task.Kind
	}
	require.Equal(t, map[string]string{"by hand": "", "RETR /x": "ftp", "consumer": "worker", "import": "job"}, kinds)
	m.Force(nil)
	_ = m.Wait()
}

func TestTasksAreNamedAndTheOldestComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr shutdown.Tracker
		start := time.Now()
		for i := range 100 {
			_, _ = tr.Track(fmt.Sprint("task ", i))
			time.Sleep(time.Second)
		}
		tasks := tr.Tasks()
		require.Len(t, tasks, 100)
		for i, task := range tasks {
			require.Equal(t, fmt.Sprint("task ", i), task.Name)
			require.True(t, start.Add(time.Duration(i)*time.Second).Equal(task.Since), "%v", task.Since)
		}
	})
}

// lateWork runs rounds in which tasks race with the end of a drain, and returns how many tasks were
// running after it.
func lateWork(rounds int, tracker func(over *atomic.Bool) (track func() (done func(), ok bool), drain func())) (late int64) {
	var lateTasks atomic.Int64
	for range rounds {
		var over atomic.Bool
		track, drain := tracker(&over)
		var all sync.WaitGroup
		start := make(chan struct{})
		for range 4 {
			all.Go(func() {
				<-start
				if done, ok := track(); ok {
					if over.Load() {
						lateTasks.Add(1)
					}
					done()
				}
			})
		}
		close(start)
		drain()
		over.Store(true)
		all.Wait()
	}
	return lateTasks.Load()
}

func TestNoTaskRunsAfterTheEndOfADrain(t *testing.T) {
	require.Zero(t, lateWork(5000, func(*atomic.Bool) (func() (func(), bool), func()) {
		var tr shutdown.Tracker
		return func() (func(), bool) { return tr.Track("work") }, func() { _ = tr.Drain(context.Background()) }
	}))
}

// The negative control: checking first and counting afterwards, as many servers do, admits work
// after the wait has ended.
func TestCheckThenAddAdmitsTasksAfterTheEndOfAWait(t *testing.T) {
	require.NotZero(t, lateWork(1, func(over *atomic.Bool) (func() (func(), bool), func()) {
		var closing atomic.Bool
		var inFlight atomic.Int64
		checked := make(chan struct{}, 4)
		return func() (func(), bool) {
				if closing.Load() {
					return nil, false
				}
				checked <- struct{}{}
				for !over.Load() { // the scheduler may do the same here at any time
					runtime.Gosched()
				}
				inFlight.Add(1)
				return func() { inFlight.Add(-1) }, true
			}, func() {
				<-checked
				closing.Store(true)
				for inFlight.Load() > 0 {
					runtime.Gosched()
				}
			}
	}))
}

func TestTrackAllocatesAtMostOnce(t *testing.T) {
	var tr shutdown.Tracker
	least := math.Inf(1) // allocations of other goroutines count too
	for range 20 {
		least = min(least, testing.AllocsPerRun(1000, func() {
			done, _ := tr.Track("work")
			done()
		}))
	}
	require.LessOrEqual(t, least, 1.0)
}

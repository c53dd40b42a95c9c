package inflight

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Track and Drain wait for the same lock, in this order, and it is handed to each
// in turn: a sync.Mutex does that when a goroutine has waited for more than 1 ms
// and has found it taken once more. If Track let go of the lock between asking
// whether the Tracker is closed and counting the task, Drain would close it there.
func TestATaskIsAdmittedAndCountedInOneStep(t *testing.T) {
	for range 20 { // in some Track wakes up too late to find the lock taken once more
		var tr Tracker
		held := &tr.shards[1].mu // of the first task; Drain takes those before it
		held.Lock()
		type result struct {
			done func()
			ok   bool
		}
		tracked, drained := make(chan result), make(chan error)
		go func() {
			done, ok := track(&tr)
			tracked <- result{done, ok}
		}()
		awaitLocking(t, "(*Tracker).Begin")
		go func() { drained <- tr.Drain(context.Background()) }()
		awaitLocking(t, "(*Tracker).lockAll")
		time.Sleep(2 * time.Millisecond)
		held.Unlock()
		held.Lock()
		time.Sleep(time.Millisecond)
		held.Unlock()

		work := <-tracked
		if work.ok {
			done, ok := track(&tr)
			require.True(t, ok, "the drain has ended while a task is in flight")
			done()
		}
		work.done()
		require.NoError(t, <-drained)
	}
}

// awaitLocking waits until a goroutine in function waits for a mutex.
func awaitLocking(t *testing.T, function string) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Microsecond) {
		stacks := string(buf[:runtime.Stack(buf, true)])
		for stack := range strings.SplitSeq(stacks, "\n\n") {
			if strings.Contains(stack, "[sync.Mutex.Lock") && strings.Contains(stack, function) {
				return
			}
		}
		require.True(t, time.Now().Before(deadline), "nothing in %s waits for a mutex:\n%s", function, stacks)
	}
}

func track(tr *Tracker) (done func(), ok bool) {
	task, ok := tr.Begin("work", nil)
	return func() { tr.End(task) }, ok
}

package inflight

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Begin and Drain wait for the same lock, in this order, and get it in this order, because a
// sync.Mutex is handed on in order once a goroutine has waited for more than 1 ms and found it
// locked again. If Begin released the lock between the check whether the Tracker is closed and the
// count of the task, Drain would close the Tracker there.
func TestATaskIsAdmittedAndCountedInOneStep(t *testing.T) {
	for range 20 { // in some rounds Begin wakes up too late to find the lock taken again
		var tr Tracker
		held := &tr.shards[1].mu // of the first task; Drain locks the shards before it
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
	task, ok := tr.Begin("", "work", nil)
	return func() { tr.End(task) }, ok
}

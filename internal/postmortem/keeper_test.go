package postmortem

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// requireFlushed waits until all has been saved. One flush gives up on a save
// that takes diskPatience, which a goroutine may that has nothing to do.
func requireFlushed(t *testing.T, k *keeper) {
	t.Helper()
	by := time.Now().Add(50 * time.Second)
	for !k.flush(by) {
		require.Less(t, time.Now(), by)
		time.Sleep(time.Millisecond)
	}
}

func TestAStateThatPanicsCostsTheKeeperNothing(t *testing.T) {
	saved := 0
	k := &keeper{log: &logQueue{}, save: func() {
		if saved++; saved == 1 {
			panic("the first")
		}
	}}
	k.touch()
	requireFlushed(t, k)
	require.Equal(t, 1, saved)
}

func TestStatesThatComeWhileOneIsSavedAreSkippedButForTheNewest(t *testing.T) {
	saves, hang, hangs := 0, make(chan struct{}), make(chan struct{})
	k := &keeper{log: &logQueue{}}
	k.save = func() {
		if saves++; saves == 1 {
			close(hangs)
			<-hang
		}
	}
	k.touch()
	<-hangs
	for range 1000 {
		k.touch()
	}
	close(hang)
	requireFlushed(t, k)
	require.Equal(t, 2, saves)
	k.touch()
	require.Equal(t, 2, saves, "closed")
}

package shutdown

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAStateThatPanicsCostsTheKeeperNothing(t *testing.T) {
	saved := 0
	k := &keeper{log: &logQueue{}, save: func() {
		if saved++; saved == 1 {
			panic("the first")
		}
	}}
	k.touch()
	require.True(t, k.flush(time.Now().Add(10*time.Second)))
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
	require.True(t, k.flush(time.Now().Add(10*time.Second)))
	require.Equal(t, 2, saves)
	k.touch()
	require.Equal(t, 2, saves, "closed")
}

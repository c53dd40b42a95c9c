package postmortem

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// requireFlushed waits until all has been saved. One flush gives up on a save
// that takes Patience, which a goroutine may that has nothing to do.
func requireFlushed(t *testing.T, k *Keeper) {
	t.Helper()
	by := time.Now().Add(50 * time.Second)
	for !k.Flush(by) {
		require.Less(t, time.Now(), by)
		time.Sleep(time.Millisecond)
	}
}

func TestAStateThatPanicsCostsTheKeeperNothing(t *testing.T) {
	saved := 0
	k := &Keeper{save: func() {
		if saved++; saved == 1 {
			panic("the first")
		}
	}}
	k.Touch()
	requireFlushed(t, k)
	require.Equal(t, 1, saved)
}

func TestAStateThatChangesWhileOneIsSavedThatPanicsIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		saved := 0
		k := &Keeper{}
		k.save = func() {
			if saved++; saved == 1 {
				k.Touch()
				panic("the first")
			}
		}
		k.Touch()
		synctest.Wait()
		require.Equal(t, 2, saved)
		require.False(t, k.Saving())
	})
}

func TestStatesThatComeWhileOneIsSavedAreSkippedButForTheNewest(t *testing.T) {
	saves, hang, hangs := 0, make(chan struct{}), make(chan struct{})
	k := &Keeper{}
	k.save = func() {
		if saves++; saves == 1 {
			close(hangs)
			<-hang
		}
	}
	k.Touch()
	<-hangs
	for range 1000 {
		k.Touch()
	}
	close(hang)
	requireFlushed(t, k)
	require.Equal(t, 2, saves)
	k.Touch()
	require.Equal(t, 2, saves, "closed")
}

func TestASaveThatHangsIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		k := &Keeper{save: func() { <-hang }, warn: func(string, ...any) {}}
		k.Touch()
		began := time.Now()
		require.False(t, k.Flush(began.Add(time.Minute)))
		require.LessOrEqual(t, time.Since(began), Patience)
		close(hang)
	})
}

func TestASaveThatHangsAlreadyIsNotWaitedForAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		warned := 0
		k := &Keeper{save: func() { <-hang }, warn: func(string, ...any) { warned++ }}
		k.Touch()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 1, warned)
		began := time.Now()
		require.False(t, k.Flush(began.Add(time.Minute)))
		require.Zero(t, time.Since(began))
		close(hang)
		synctest.Wait()
		require.True(t, k.Flush(began))
		require.False(t, k.Saving())
	})
}

func TestEachSaveHasPatienceOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &Keeper{save: func() { time.Sleep(Patience * 4 / 5) }, warn: func(string, ...any) { t.Error("it is not slow") }}
		began := time.Now()
		k.Touch()
		time.Sleep(Patience / 5)
		k.Touch()
		require.True(t, k.Saving())
		require.True(t, k.Flush(began.Add(time.Minute)))
		require.Equal(t, Patience*8/5, time.Since(began))
		time.Sleep(time.Minute)
	})
}

func TestFlushReturnsAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		k := &Keeper{save: func() { <-hang }, warn: func(string, ...any) {}}
		k.Touch()
		began := time.Now()
		require.False(t, k.Flush(began.Add(Patience/2)))
		require.Equal(t, Patience/2, time.Since(began))
		close(hang)
	})
}

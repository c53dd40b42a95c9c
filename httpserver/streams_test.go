package httpserver

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// As in a process that was frozen for as long as an answer may be held: both
// timers are late, and nobody knows which of their goroutines runs first.
func TestALateGoodByeIsNotForgotten(t *testing.T) {
	client, _ := connected(t)
	info := newWire(client)
	s := &info.streams
	_, err := info.outer.Write(settings)
	require.NoError(t, err)
	s.begin()
	left := make(chan bool)
	go func() { left <- s.leave() }()
	deadline := time.Now().Add(30 * time.Second)
	for held := false; !held; time.Sleep(100 * time.Microsecond) {
		require.True(t, time.Now().Before(deadline), "the answer is not held")
		s.mu.Lock()
		if held = s.held > 0; held {
			time.Sleep(time.Until(s.settlesAt)) // no timer gets any further meanwhile
			s.expireLocked()
			require.False(t, s.saidBye.IsZero())
			require.True(t, s.over)
		}
		s.mu.Unlock()
	}
	<-left
}

// A good-bye between two answers would come too late for the client of the first.
func TestAnAnswerIsHeldUntilAllOnItsConnectionAreReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		defer server.Close()
		s := &newWire(noKey{Conn: server}).streams
		s.begin()
		s.begin()
		begun := time.Now()
		released := make(chan time.Duration, 2)
		answer := func() {
			s.leave()
			released <- time.Since(begun)
		}
		go answer()
		time.Sleep(byeWait / 2)
		go answer()
		for range 2 {
			require.Equal(t, byeWait/2+settleFull, <-released)
		}
	})
}

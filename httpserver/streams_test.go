package httpserver

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// If the process was suspended for holdLimit, both timers are late, and either may run
// first.
func TestAGoAwayIsSentAlthoughItsTimerIsLate(t *testing.T) {
	client, _ := connected(t)
	info := newWire(client)
	s := &info.streams
	_, err := info.outer.Write(settings)
	require.NoError(t, err)
	s.begin()
	released := make(chan bool)
	go func() { released <- s.hold() }()
	deadline := time.Now().Add(30 * time.Second)
	for held := false; !held; time.Sleep(100 * time.Microsecond) {
		require.True(t, time.Now().Before(deadline), "the response is not held")
		s.mu.Lock()
		if held = s.held > 0; held {
			time.Sleep(time.Until(s.settleAt)) // the lock keeps the timers from running
			s.expireLocked()
			require.False(t, s.goAwayAt.IsZero())
			require.True(t, s.isReleased)
		}
		s.mu.Unlock()
	}
	<-released
}

// A GOAWAY between two responses would be too late for the first of them.
func TestAResponseIsHeldUntilAllOnItsConnectionAreReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		defer server.Close()
		s := &newWire(noKey{Conn: server}).streams
		s.begin()
		s.begin()
		begun := time.Now()
		released := make(chan time.Duration, 2)
		respond := func() {
			s.hold()
			released <- time.Since(begun)
		}
		go respond()
		time.Sleep(holdLimit / 2)
		go respond()
		for range 2 {
			require.Equal(t, holdLimit/2+settleFull, <-released)
		}
	})
}

package httpserver

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/testcert"
)

// newTLSWire returns the wire of an HTTP/2 connection in TLS, where frames cannot be seen.
// net/http has sent its SETTINGS, and the client reads everything.
func newTLSWire(t *testing.T, client, server net.Conn) *wire {
	t.Helper()
	cert, err := testcert.New()
	require.NoError(t, err)
	serverConfig, err := cert.Server()
	require.NoError(t, err)
	clientConfig, err := cert.Client()
	require.NoError(t, err)
	w := newWire(server)
	secure := tls.Server(w.c.outer(), serverConfig)
	w.c.extra.outer, w.c.extra.inTLS = secure, true
	w.writesAtActive.Store(1)
	go func() { _, _ = io.Copy(io.Discard, tls.Client(client, clientConfig)) }()
	require.NoError(t, secure.HandshakeContext(t.Context()))
	return w
}

// held begins n requests and lets their handlers respond. It returns a channel with the
// time after which each response was released.
func held(s *streams, n int) <-chan time.Duration {
	released, begun := make(chan time.Duration, n), time.Now()
	for range n {
		s.begin()
		go func() {
			s.hold()
			released <- time.Since(begun)
		}()
	}
	return released
}

// If the process was suspended for holdLimit, both timers are late, and either may run
// first.
func TestAGoAwayIsSentAlthoughItsTimerIsLate(t *testing.T) {
	client, server := connected(t)
	s := &newTLSWire(t, client, server).streams
	released := held(s, 1)
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

// In TLS the GOAWAY might come between two parts of a frame.
func TestInTLSAResponseIsHeldWhileAnotherIsBeingWritten(t *testing.T) {
	client, server := connected(t)
	s := &newTLSWire(t, client, server).streams
	s.begin() // one that is being handled
	s.begin()
	s.answered() // one that is being written
	released := held(s, 1)
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.held == 1
	}, 30*time.Second, time.Millisecond)
	s.mu.Lock()
	require.True(t, s.settleAt.IsZero())
	s.holdAt = time.Now().Add(time.Hour) // so that the limit is far
	s.mu.Unlock()
	s.end()
	<-released
	require.False(t, s.goAwayAt.IsZero())
}

// A stream that is silent has no part of a frame in a buffer.
func TestInTLSASilentStreamDoesNotPreventTheGoAway(t *testing.T) {
	client, server := connected(t)
	s := &newTLSWire(t, client, server).streams
	s.begin()
	s.answered() // the stream
	<-held(s, 1)
	require.False(t, s.goAwayAt.IsZero())
}

// Its frames can be seen.
func TestInClearAResponseThatIsBeingWrittenDoesNotPreventTheGoAway(t *testing.T) {
	client, server := connected(t)
	go func() { _, _ = io.Copy(io.Discard, client) }()
	w := newWire(server)
	_, err := w.c.outer().Write(settings)
	require.NoError(t, err)
	s := &w.streams
	s.begin()
	s.answered()
	writing, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(writing)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				_, _ = w.c.outer().Write(settings)
			}
		}
	}()
	<-held(s, 1)
	close(stop)
	<-writing
	require.False(t, s.goAwayAt.IsZero())
}

func TestAConnectionIsQuietIfNothingHasBeenWrittenForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w wire
		s := &w.streams
		s.wire = &w
		quietAfter := func(d time.Duration) bool {
			time.Sleep(d)
			return s.isQuietLocked()
		}
		require.False(t, quietAfter(time.Hour), "it is looked at for the first time")
		require.False(t, quietAfter(holdLimit-1))
		require.True(t, quietAfter(1))
		w.writesStarted.Add(1)
		require.False(t, quietAfter(time.Hour), "a write is in progress")
		w.writesEnded.Add(1)
		require.False(t, quietAfter(time.Hour), "it may have ended just now")
		require.True(t, quietAfter(holdLimit))
		w.writesStarted.Add(1)
		w.writesEnded.Add(1)
		require.False(t, quietAfter(time.Hour), "something has been written since the last look")
		require.True(t, quietAfter(holdLimit))
	})
}

func TestInTLSResponsesAreHeldWhileSomethingIsBeingSent(t *testing.T) {
	// The client may answer the end of a response with a request, which has to arrive
	// before the GOAWAY of net/http.
	const each = holdLimit - 10*time.Millisecond
	for name, test := range map[string]struct {
		writes int // of another response, one after each
		want   time.Duration
	}{
		"not if nothing is sent":                      {0, holdLimit},
		"until nothing has been sent for a while":     {3, 375 * time.Millisecond}, // the last write is noticed after 275
		"for two seconds if something is sent always": {30, holdMax},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer client.Close()
				defer server.Close()
				w := newWire(noKey{Conn: server}) // no socket, so no GOAWAY is sent
				w.c.extra.outer, w.c.extra.inTLS = tls.Server(w.c.outer(), nil), true
				s := &w.streams
				s.begin()
				s.answered()
				released := held(s, 1)
				for range test.writes {
					time.Sleep(each)
					w.writesStarted.Add(1)
					w.writesEnded.Add(1)
				}
				require.Equal(t, test.want, <-released)
			})
		})
	}
}

// http.Server.Shutdown waits for that, because its GOAWAY discards requests on their way.
func TestAClientMayStillSendRequestsForAWhileAfterTheGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, sent := range []bool{true, false} {
			s := new(streams)
			require.True(t, s.mayTakeRequests())
			s.released = make(chan struct{})
			if sent {
				s.goAwayAt = time.Now()
			}
			s.releaseLocked()
			require.Equal(t, sent, s.mayTakeRequests(), "net/http sends its own if ours could not be sent")
			time.Sleep(goAwayGrace)
			require.Equal(t, sent, s.mayTakeRequests())
			time.Sleep(time.Nanosecond)
			require.False(t, s.mayTakeRequests())
		}
	})
}

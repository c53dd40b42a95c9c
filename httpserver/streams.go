package httpserver

import (
	"sync"
	"sync/atomic"
	"time"
)

// streams is the state of the requests of an HTTP/2 connection, and sends its first
// GOAWAY frame.
//
// The GOAWAY of net/http names the last stream that it has read, and net/http discards
// the requests that the client sends before it has read that frame. RFC 9113, section
// 6.8, recommends to send a GOAWAY without a limit first, so that no request on its way
// is discarded. net/http does not do that, so this package writes such a frame to the
// connection itself, before the first response that would make net/http send its own.
//
// The responses that are ready are held until no other response is being written and
// nothing has been written for a moment. Then the client is not about to send a request:
// net/http's client fails one that has been assigned to the connection and not been sent
// when a GOAWAY arrives (golang/go#62450).
//
// net/http may write a frame in several pieces, and the GOAWAY must not come between
// them. On a cleartext connection the frames are followed, so it can be sent after
// holdLimit in any case. In TLS they cannot be seen. There responses are held until the
// others have ended, or nothing has been written for holdLimit, as on a stream that is
// silent, but not for longer than holdMax. The GOAWAY is sent only if no write is in
// progress; a write would block if the client did not read.
type streams struct {
	wire *wire
	used atomic.Bool // the connection uses HTTP/2

	mu         sync.Mutex // protects what follows
	open       int        // handlers in progress
	untracked  int        // of them
	unanswered int        // of them, without a response header
	held       int        // of the unanswered, waiting in hold
	most       int        // the maximum of unanswered
	goAwayAt   time.Time  // when the GOAWAY was written
	settleAt   time.Time  // when the GOAWAY is to be sent if nothing is written until then; zero: not
	writes     uint64     // when settleAt was set
	quietAt    time.Time  // since then nothing has been written
	quiet      uint64     // writes at quietAt
	holdAt     time.Time  // when the first response was held
	released   chan struct{}
	isReleased bool // released is closed
}

const (
	// holdLimit is how long responses are held for others that are being written, on a
	// cleartext connection. In TLS it is how long nothing must have been written.
	holdLimit = 100 * time.Millisecond
	// holdMax is the limit in TLS. After it net/http discards what is on its way.
	holdMax = 2 * time.Second
	// Responses that have ended may still be in a buffer of net/http. If all requests that
	// the client has ever had at the same time are held, the last ended a while ago.
	settleFull  = 5 * time.Millisecond
	settleOther = 25 * time.Millisecond
	// goAwayGrace is how long a client has to stop sending requests.
	goAwayGrace = 500 * time.Millisecond
)

// goAway is a GOAWAY frame, on stream 0 and without an error, that names the highest
// stream number.
var goAway = []byte{0, 0, 8, 0x7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0}

func (s *streams) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used.Store(true)
	s.open++
	s.unanswered++
	s.most = max(s.most, s.unanswered)
}

func (s *streams) addUntracked(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untracked += n
}

func (s *streams) onlyUntracked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.untracked > 0 && s.open == s.untracked
}

// answered is called once after each begin, before end.
func (s *streams) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unanswered--
	s.settleLocked()
}

func (s *streams) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	s.settleAt = time.Time{}
	s.settleLocked()
}

// isClosing reports whether hold has been called, so the connection will be closed.
func (s *streams) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.released != nil
}

// mayTakeRequests reports whether the client has not been told, or only just, not to
// send more requests on this connection.
func (s *streams) mayTakeRequests() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.goAwayAt.IsZero() {
		return !s.isReleased // then net/http tells it
	}
	return time.Since(s.goAwayAt) <= goAwayGrace
}

// hold blocks until a response may be written. It reports whether the response has to
// make net/http send its GOAWAY, which is not so if the client has got the first one and
// still has time to act on it.
func (s *streams) hold() (netHTTPGoAway bool) {
	s.mu.Lock()
	if s.released == nil {
		s.released = make(chan struct{})
		s.holdAt = time.Now()
		s.isQuietLocked()
		s.expireAfter(holdLimit)
	}
	s.held++
	s.settleLocked()
	s.mu.Unlock()

	<-s.released
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goAwayAt.IsZero() || time.Since(s.goAwayAt) > goAwayGrace
}

// settleLocked releases the responses if the GOAWAY has been sent. If not, and if no
// response is being written, it starts a timer that sends it.
func (s *streams) settleLocked() {
	if s.isReleased || s.held == 0 {
		return
	}
	if !s.goAwayAt.IsZero() {
		s.releaseLocked()
		return
	}
	if s.open > s.unanswered || !s.settleAt.IsZero() {
		return
	}
	after := settleOther
	if s.held >= s.most {
		after = settleFull
	}
	s.settleAt = time.Now().Add(after)
	s.writes, _ = s.wire.writes()
	time.AfterFunc(after, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.settledLocked()
	})
}

// settledLocked sends the GOAWAY if nothing has been written until settleAt, and else
// tries again.
func (s *streams) settledLocked() {
	if s.isReleased || s.settleAt.IsZero() || time.Now().Before(s.settleAt) {
		return
	}
	s.settleAt = time.Time{}
	if writes, ended := s.wire.writes(); s.open == s.unanswered && ended && writes == s.writes {
		s.goAwayLocked()
	}
	s.settleLocked()
}

func (s *streams) expireAfter(d time.Duration) {
	time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.expireLocked()
	})
}

// expireLocked sends the GOAWAY and releases the responses, or tries again in a moment: in
// TLS until nothing has been written for holdLimit, and on a cleartext connection until a
// frame has been written.
func (s *streams) expireLocked() {
	s.settledLocked() // if the process was suspended, its timer may be late
	if s.isReleased {
		return
	}
	inClear, quiet := s.wire.isClearHTTP2(), s.isQuietLocked()
	if inClear || quiet {
		s.goAwayLocked()
	}
	var again time.Duration
	switch {
	case inClear && writable(s.wire.c.socket()): // a frame is being written
		again = min(settleFull, 2*holdLimit-time.Since(s.holdAt))
	case !inClear && !quiet:
		again = min(settleOther, holdMax-time.Since(s.holdAt))
	}
	if again > 0 && s.goAwayAt.IsZero() {
		s.expireAfter(again)
		return
	}
	s.releaseLocked()
}

// isQuietLocked reports whether nothing has been written for holdLimit. Then no part of a
// frame is left in a buffer of net/http.
func (s *streams) isQuietLocked() bool {
	writes, ended := s.wire.writes()
	switch {
	case !ended:
		s.quietAt = time.Time{} // it is not known when the write will end
		return false
	case writes != s.quiet || s.quietAt.IsZero():
		s.quiet, s.quietAt = writes, time.Now()
	}
	return time.Since(s.quietAt) >= holdLimit
}

// goAwayIfIdle sends the GOAWAY on an HTTP/2 connection without requests. It reports
// whether it did; it does so once.
func (s *streams) goAwayIfIdle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ended := s.wire.writes(); !ended || !s.used.Load() || s.open > 0 || !s.goAwayAt.IsZero() {
		return false
	}
	s.goAwayLocked()
	return !s.goAwayAt.IsZero()
}

// goAwayLocked writes while the lock is held. Because begin waits for the lock, no
// response can come in between. The write does not block, because there is room for it.
func (s *streams) goAwayLocked() {
	if s.goAwayAt.IsZero() && writable(s.wire.c.socket()) && s.wire.writeFrame(goAway) {
		s.goAwayAt = time.Now()
	}
}

func (s *streams) releaseLocked() {
	if s.released != nil && !s.isReleased {
		s.isReleased = true
		close(s.released)
	}
}

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
// connection itself. net/http may write a frame in several pieces, and the GOAWAY must
// not come between them. So the responses on a connection that is to be closed are held
// until all of them are ready, or for holdLimit. The GOAWAY is sent only if nothing has
// been written in that time and no write is in progress; a write would block if the
// client did not read.
type streams struct {
	wire *wire
	used atomic.Bool // the connection uses HTTP/2

	mu         sync.Mutex // protects what follows
	open       int        // handlers in progress
	untracked  int        // of them
	unanswered int        // of them, without a response header
	held       int        // of the unanswered, waiting in hold
	most       int        // the maximum of unanswered
	moves      int        // how many handlers have begun or ended, in all
	goAwayAt   time.Time  // when the GOAWAY was written
	settle     func()     // sends it if nothing has changed since settleLocked
	settleAt   time.Time  // when settle is to be called
	released   chan struct{}
	isReleased bool // released is closed
}

const (
	// holdLimit is how long a response is held for slower ones.
	holdLimit = 100 * time.Millisecond
	// When the last response is ready, further requests may be on their way, and
	// responses that ended just before may still be written. If the client has as many
	// requests in flight as it ever had, few are on their way. Otherwise the client sends
	// more when it has read its latest responses.
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
	s.moves++
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
	s.moves++
	s.open--
	s.settleLocked()
}

// isClosing reports whether hold has been called, so the connection will be closed.
func (s *streams) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.released != nil
}

// goAwayDone reports whether the GOAWAY has been sent, or could not be sent in time.
func (s *streams) goAwayDone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isReleased || !s.goAwayAt.IsZero()
}

// hold blocks until a response may be written. It reports whether the response has to
// make net/http send its GOAWAY, which is not so if the client has got the first one and
// still has time to act on it.
func (s *streams) hold() (netHTTPGoAway bool) {
	s.mu.Lock()
	if s.released == nil {
		s.released = make(chan struct{})
		time.AfterFunc(holdLimit, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.expireLocked()
		})
	}
	s.held++
	s.settleLocked()
	s.mu.Unlock()

	<-s.released
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goAwayAt.IsZero() || time.Since(s.goAwayAt) > goAwayGrace
}

// settleLocked starts a timer if all responses are held. If nothing has changed when
// it expires, it sends the GOAWAY and releases the responses.
func (s *streams) settleLocked() {
	if s.isReleased || s.held == 0 || s.held < s.unanswered {
		return
	}
	moves, after := s.moves, settleOther
	writes, _ := s.wire.writes()
	if s.held >= s.most {
		after = settleFull
	}
	s.settleAt = time.Now().Add(after)
	s.settle = func() {
		if s.moves == moves && !s.isReleased {
			if now, ended := s.wire.writes(); s.open == s.held && ended && now == writes {
				s.goAwayLocked()
			}
			s.releaseLocked()
		}
	}
	settle := s.settle
	time.AfterFunc(after, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		settle()
	})
}

// expireLocked releases the responses after holdLimit. If the process was suspended, the
// timer of settleLocked may be late, although it was due first.
func (s *streams) expireLocked() {
	if s.settle != nil && !time.Now().Before(s.settleAt) {
		s.settle()
	}
	s.releaseLocked()
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
	if s.goAwayAt.IsZero() && writable(s.wire.socket()) && s.wire.writeFrame(goAway) {
		s.goAwayAt = time.Now()
	}
}

func (s *streams) releaseLocked() {
	if s.released != nil && !s.isReleased {
		s.isReleased = true
		close(s.released)
	}
}

package httpserver

import (
	"sync"
	"sync/atomic"
	"time"
)

// streams are the requests of an HTTP/2 connection, and how it says good-bye.
//
// net/http's GOAWAY names the highest stream that it has seen, and discards
// what the client sends before it has read that. RFC 9113, section 6.8, wants
// an earlier one that names no limit, so that nothing is discarded that is on
// its way; net/http does not send it, so we do, past net/http. A frame may take
// it several writes, and ours must not come in between. So the answers on a
// connection that is to leave are held until all are ready, or for a moment;
// and ours is written only if in all that time nothing was written and nothing
// is being written, which a client that does not read would make last.
type streams struct {
	wire *wire
	used atomic.Bool // this is HTTP/2

	mu         sync.Mutex // protects what follows
	open       int        // handlers that run
	free       int        // of them that nobody waits for
	unanswered int        // of them that have not begun to answer
	held       int        // of those that have come to wait in leave
	most       int        // unanswered at once, ever
	moves      int        // begins and ends, ever
	saidBye    time.Time  // when our GOAWAY was written
	settled    func()     // says good-bye if nothing has moved since settleLocked
	settlesAt  time.Time  // when that is to be called
	released   chan struct{}
	over       bool // released is closed
}

const (
	// byeWait bounds how long an answer is held for slower ones.
	byeWait = 100 * time.Millisecond
	// When the last answer is ready, requests may be on their way, and what
	// ended just before may still be written: few and little if the client has
	// as many in flight as it ever had, else those that it sends when it has
	// read its latest answers.
	settleFull  = 5 * time.Millisecond
	settleOther = 25 * time.Millisecond
	// byeHeeded is how long a client has to stop sending requests.
	byeHeeded = 500 * time.Millisecond
)

// bye is a GOAWAY frame for stream 0 that names the highest stream there can
// be, and no error.
var bye = []byte{0, 0, 8, 0x7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0}

func (s *streams) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used.Store(true)
	s.moves++
	s.open++
	s.unanswered++
	s.most = max(s.most, s.unanswered)
}

// setFree adds to the number of handlers that nobody waits for.
func (s *streams) setFree(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free += n
}

func (s *streams) onlyFree() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free > 0 && s.open == s.free
}

// answer is called once for each begin, and end after it.
func (s *streams) answer() {
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

// leaving reports whether leave has been called: the connection ends.
func (s *streams) leaving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.released != nil
}

// toldToGo reports whether the client has been told to send no more requests, or
// there was no moment for that.
func (s *streams) toldToGo() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over || !s.saidBye.IsZero()
}

// leave returns when an answer may be written. It reports whether that has to
// make net/http send its GOAWAY: not if the client has ours, and heeds it.
func (s *streams) leave() (tell bool) {
	s.mu.Lock()
	if s.released == nil {
		s.released = make(chan struct{})
		time.AfterFunc(byeWait, func() {
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
	return s.saidBye.IsZero() || time.Since(s.saidBye) > byeHeeded
}

// settleLocked says good-bye and releases the answers, if all are ready and
// nothing moves for a while.
func (s *streams) settleLocked() {
	if s.over || s.held == 0 || s.held < s.unanswered {
		return
	}
	moves, settle := s.moves, settleOther
	writes, _ := s.wire.writes()
	if s.held >= s.most {
		settle = settleFull
	}
	s.settlesAt = time.Now().Add(settle)
	s.settled = func() {
		if s.moves == moves && !s.over {
			if now, ended := s.wire.writes(); s.open == s.held && ended && now == writes {
				s.byeLocked()
			}
			s.releaseLocked()
		}
	}
	settled := s.settled
	time.AfterFunc(settle, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		settled()
	})
}

// expireLocked releases the answers at the end of byeWait. In a process that was
// frozen the other timer may be late as well: it was the first.
func (s *streams) expireLocked() {
	if s.settled != nil && !time.Now().Before(s.settlesAt) {
		s.settled()
	}
	s.releaseLocked()
}

// byeIfIdle says good-bye on an HTTP/2 connection without requests. It reports
// whether it did, which it does once.
func (s *streams) byeIfIdle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ended := s.wire.writes(); !ended || !s.used.Load() || s.open > 0 || !s.saidBye.IsZero() {
		return false
	}
	s.byeLocked()
	return !s.saidBye.IsZero()
}

// byeLocked writes with the lock held: begin waits, so no answer can come in
// between. It does not block, because it writes only where there is room.
func (s *streams) byeLocked() {
	if s.saidBye.IsZero() && writable(s.wire.inner()) && s.wire.writeFrame(bye) {
		s.saidBye = time.Now()
	}
}

func (s *streams) releaseLocked() {
	if s.released != nil && !s.over {
		s.over = true
		close(s.released)
	}
}

package httpserver

import (
	"sync"
	"time"
)

// streams are the requests of an HTTP/2 connection whose answer has not begun.
//
// net/http's GOAWAY names the highest stream that it has seen, and discards
// what the client sends before it has read that. A client that waits for its
// answers sends little, so the answers that would carry the GOAWAY are held
// until all are ready, or for a moment: then nothing, or next to nothing, is on
// its way.
type streams struct {
	mu         sync.Mutex // protects what follows
	unanswered int
	most       int           // unanswered at once, ever
	begun      int           // ever
	held       int           // unanswered ones that wait in leave
	released   chan struct{} // closed when those may go on; made by the first leave
	open       bool          // released is closed
}

const (
	// goAwayWait bounds how long an answer is held for slower ones.
	goAwayWait = 100 * time.Millisecond
	// When the last answer is ready, requests may be on their way: few if the
	// client has as many in flight as it ever had, else those that it sends
	// when it has read its latest answers.
	settleFull  = 5 * time.Millisecond
	settleOther = 25 * time.Millisecond
)

func (s *streams) begin() {
	s.mu.Lock()
	s.unanswered++
	s.most = max(s.most, s.unanswered)
	s.begun++
	s.mu.Unlock()
}

// answer is called once for each begin.
func (s *streams) answer() {
	s.mu.Lock()
	s.unanswered--
	s.settleLocked()
	s.mu.Unlock()
}

// leaving reports whether leave has been called: then the connection ends, and
// all of its answers should say so.
func (s *streams) leaving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.released != nil
}

// leave returns when an answer may send the GOAWAY.
func (s *streams) leave() {
	s.mu.Lock()
	if s.released == nil {
		s.released = make(chan struct{})
		time.AfterFunc(goAwayWait, func() {
			s.mu.Lock()
			s.releaseLocked()
			s.mu.Unlock()
		})
	}
	s.held++
	s.settleLocked()
	s.mu.Unlock()
	<-s.released
}

// settleLocked releases the answers if all are ready and nothing more comes.
func (s *streams) settleLocked() {
	if s.open || s.held == 0 || s.held < s.unanswered {
		return
	}
	begun, settle := s.begun, settleOther
	if s.held >= s.most {
		settle = settleFull
	}
	time.AfterFunc(settle, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.begun == begun {
			s.releaseLocked()
		}
	})
}

func (s *streams) releaseLocked() {
	if !s.open {
		s.open = true
		close(s.released)
	}
}

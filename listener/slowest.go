package listener

import (
	"net"
	"sync"
	"time"
)

// A slowest is the longest round trip that a handshake of late has had. It says
// how long one takes that has begun just before no more may begin.
type slowest struct {
	mu           sync.Mutex // protects what follows
	since        time.Time  // of now
	now, earlier time.Duration
}

// slowestFor is how long a round trip counts, at least.
const slowestFor = time.Minute

func (s *slowest) note(conn net.Conn) {
	if rtt := handshakeRTT(conn); rtt > 0 {
		s.add(rtt, time.Now())
	}
}

func (s *slowest) add(rtt time.Duration, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(at)
	s.now = max(s.now, rtt)
}

func (s *slowest) at(at time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(at)
	return max(s.now, s.earlier)
}

func (s *slowest) turn(at time.Time) {
	switch age := at.Sub(s.since); {
	case age >= 2*slowestFor:
		s.now, s.earlier, s.since = 0, 0, at
	case age >= slowestFor:
		s.now, s.earlier, s.since = 0, s.now, at
	}
}

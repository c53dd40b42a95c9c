package listener

import (
	"net"
	"sync"
	"time"
)

// A maxRTT is the longest round-trip time of recent handshakes. It predicts how
// long a handshake takes that has just started when SYNs are dropped.
type maxRTT struct {
	mu                sync.Mutex // protects what follows
	started           time.Time  // of the current period
	current, previous time.Duration
}

// rttPeriod is how long a round-trip time counts at least; it counts for less than
// twice as long.
const rttPeriod = time.Minute

func (m *maxRTT) measure(conn net.Conn) {
	if rtt := handshakeRTT(conn); rtt > 0 {
		m.add(rtt, time.Now())
	}
}

func (m *maxRTT) add(rtt time.Duration, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advanceLocked(now)
	m.current = max(m.current, rtt)
}

func (m *maxRTT) get(now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advanceLocked(now)
	return max(m.current, m.previous)
}

func (m *maxRTT) advanceLocked(now time.Time) {
	switch age := now.Sub(m.started); {
	case age >= 2*rttPeriod:
		m.current, m.previous, m.started = 0, 0, now
	case age >= rttPeriod:
		m.current, m.previous, m.started = 0, m.current, now
	}
}

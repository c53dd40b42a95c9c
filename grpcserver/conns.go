package grpcserver

import (
	"maps"
	"net"
	"slices"
	"sync"

	"github.com/gracefulgo/shutdown/listener"
)

// conns is the set of a server's open connections.
type conns struct {
	mu      sync.Mutex // protects what follows
	open    map[*conn]struct{}
	changed chan struct{} // holds a token that wakes linger, which creates it
	counts  bool          // whether closed is counted
	closed  int
}

// A connListener is the listener that gRPC uses.
type connListener struct {
	*listener.Listener
	conns *conns
}

func (l connListener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	setUserTimeout(inner)
	return l.conns.add(inner), nil
}

func (s *conns) add(inner net.Conn) *conn {
	raw := newRaw(inner)
	c := &conn{Conn: raw, conns: s, raw: raw}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[*conn]struct{})
	}
	s.open[c] = struct{}{}
	return c
}

func (s *conns) remove(c *conn) {
	s.mu.Lock()
	if _, isOpen := s.open[c]; isOpen && s.counts {
		s.closed++
	}
	delete(s.open, c)
	s.mu.Unlock()
	s.wake()
}

// countClosed makes conns count the connections that are closed from now on.
func (s *conns) countClosed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts = true
}

// closedInDrain returns how many connections have been closed since countClosed.
func (s *conns) closedInDrain() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// wake makes linger look again.
func (s *conns) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed != nil {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

func (s *conns) all() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.open))
}

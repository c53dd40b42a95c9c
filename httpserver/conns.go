package httpserver

import (
	"crypto/tls"
	"net"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
)

// conns is the list of a server's connections. Their state matters only during the
// drain.
type conns struct {
	countIO   bool         // whether reads and writes are counted: see wire
	untracked atomic.Int64 // requests: see Untrack
	closed    atomic.Int64 // connections, ever

	listMu sync.Mutex // protects open
	open   []*conn
	byConn sync.Map // from net.Conn to *conn, for connections that are not wrapped; see find

	hijacked  hijacked
	warnOfH2C sync.Once

	draining atomic.Bool
	changed  chan struct{} // holds a token that wakes drain; drain creates it

	mu        sync.Mutex        // protects what follows, which drain creates
	idle      map[*conn]*linger // connections without a request
	activated uint64            // how often one of them has become active
	keptAlive uint64            // responses that have ended without "Connection: close"
}

// add returns the connection for net/http to use instead of inner.
func (s *conns) add(inner net.Conn) net.Conn {
	c := &conn{index: -1}
	k, ok := wrap(inner, c)
	if !ok {
		c.extra = &extra{outer: inner}
		s.byConn.Store(inner, c)
		return inner
	}
	_, other := k.(*otherConn)
	if other || s.countIO {
		w := &wire{c: c}
		w.streams.wire = w
		c.extra = &extra{outer: w.wrap(k), wire: w}
	} else if k != wrapper(c) {
		c.extra = &extra{outer: k}
	}
	return c.outer()
}

// addToList is called for StateNew, when net/http has told which connection it uses.
// Before that, no other goroutine may look at it. Serve does not return in between.
func (s *conns) addToList(c *conn, outer net.Conn) {
	if outer != c.outer() {
		if c.extra == nil {
			c.extra = new(extra)
		}
		c.extra.outer, c.extra.inTLS = outer, true
	}
	s.listMu.Lock()
	defer s.listMu.Unlock()
	c.index = int32(len(s.open)) //nolint:gosec // there are fewer file descriptors
	s.open = append(s.open, c)
}

// find returns the conn of a connection that net/http uses, or that h2c of
// golang.org/x/net uses, which has the wrapped one.
func (s *conns) find(c net.Conn) *conn {
	if c, ok := c.(*conn); ok { // as below, but cheaper: it is called twice in a request
		return c
	}
	if t, ok := c.(*tls.Conn); ok {
		if w, ok := t.NetConn().(wrapper); ok {
			return w.of()
		}
	}
	for range 3 { // nested
		if w, ok := c.(wrapper); ok {
			return w.of()
		}
		if reflect.ValueOf(c).Comparable() {
			if info, ok := s.byConn.Load(c); ok {
				return info.(*conn)
			}
		}
		if c = underlying(c); c == nil {
			break
		}
	}
	return nil
}

func (s *conns) remove(c *conn) {
	if key := c.inner(); reflect.ValueOf(key).Comparable() {
		s.byConn.Delete(key)
	}
	s.listMu.Lock()
	isOpen := c.index >= 0
	if isOpen {
		n := len(s.open) - 1
		last := s.open[n]
		s.open[c.index], last.index = last, c.index
		s.open, s.open[n], c.index = s.open[:n], nil, -1
	}
	s.listMu.Unlock()
	if isOpen {
		s.wakeIfDraining()
	}
}

// count returns how many connections are open.
func (s *conns) count() int {
	s.listMu.Lock()
	defer s.listMu.Unlock()
	return len(s.open)
}

// all calls f for each connection.
func (s *conns) all(f func(*conn)) {
	s.listMu.Lock()
	defer s.listMu.Unlock()
	for _, c := range s.open {
		f(c)
	}
}

// setState is http.Server.ConnState.
func (s *conns) setState(c net.Conn, state http.ConnState) {
	info := s.find(c)
	if info == nil {
		return
	}
	if w := info.wire(); w != nil {
		switch state {
		case http.StateIdle:
			w.readsAtIdle.Store(w.reads.Load())
		case http.StateActive:
			w.writesAtActive.CompareAndSwap(0, w.writesEnded.Load()+1)
		}
	}
	if state == http.StateNew {
		s.addToList(info, c)
	}
	info.state.Store(int32(state)) //nolint:gosec // there are five
	if state == http.StateClosed {
		s.closed.Add(1)
	}
	if state == http.StateHijacked {
		if !info.isXNetH2C() {
			s.hijacked.add(info)
		} else if key := info.inner(); reflect.ValueOf(key).Comparable() {
			s.byConn.Store(key, info) // x/net uses it from now on
		}
	}
	if q := info.request.Load(); state == http.StateHijacked && q != nil && q.upgrades && !q.untracked.Swap(true) {
		q.handler.inFlight.End(q.task)
		s.untracked.Add(1) // requestEnded subtracts it
	}
	if state == http.StateClosed || state == http.StateHijacked && !info.isXNetH2C() {
		s.remove(info)
	}
	// Either drain sees the state when it looks at all connections, or this sees that
	// the server drains.
	if s.draining.Load() {
		s.stateDuringDrain(info, state)
	}
}

// stateDuringDrain tells drain of a state.
func (s *conns) stateDuringDrain(c *conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == http.StateActive {
		s.activated++
	}
	if c.isIdle() {
		s.idle[c] = new(linger)
	} else {
		delete(s.idle, c)
	}
	s.wake()
}

// requestEnded is called when the handler of an HTTP/1 request has returned.
func (s *conns) requestEnded(c *conn) {
	if q := c.request.Load(); q.upgrades && q.untracked.Load() {
		s.setState(c.outer(), http.StateClosed) // x/net's server does not report it
	}
	q := c.request.Swap(nil)
	if q.untracked.Load() {
		s.untracked.Add(-1)
	}
	if q.keepsAlive.Load() && s.draining.Load() {
		s.mu.Lock()
		s.keptAlive++
		s.mu.Unlock()
	}
	if http.ConnState(c.state.Load()) == http.StateHijacked {
		s.hijacked.handlerReturned(c)
		s.wakeIfDraining()
	}
}

// wake makes drain look again.
func (s *conns) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *conns) wakeIfDraining() {
	if s.draining.Load() {
		s.wake()
	}
}

// addUntracked counts a request of c for which Untrack was called.
func (s *conns) addUntracked(c *conn) {
	if c.usesHTTP2() {
		c.wire().streams.addUntracked(1)
	}
	s.untracked.Add(1)
	s.wakeIfDraining()
}

// onlyUntracked reports whether all requests in progress are untracked.
func (s *conns) onlyUntracked() bool {
	if s.untracked.Load() == 0 {
		return false
	}
	only := true
	s.all(func(c *conn) { only = only && c.isUntracked() })
	return only
}

// closeUntracked closes the remaining connections, which have only untracked requests.
func (s *conns) closeUntracked() {
	var left []net.Conn
	s.all(func(c *conn) { left = append(left, c.outer()) })
	for _, c := range left {
		_ = c.Close() // the client may have closed it already
	}
}

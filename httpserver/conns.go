package httpserver

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
)

// conns are the connections of a server. While it runs they are only listed; what
// they are doing is of interest when it drains.
type conns struct {
	counted bool         // what is read and written is: see wire
	free    atomic.Int64 // requests that nobody waits for: see Untrack

	listing sync.Mutex // protects open
	open    []*conn
	byConn  sync.Map // from net.Conn to *conn, for what is not known; see find

	hijacked  hijacked
	warnOfH2C sync.Once

	draining atomic.Bool
	moved    chan struct{} // holds a wake-up for drain; made by it

	mu      sync.Mutex          // protects what follows, which drain makes
	useless map[*conn]*patience // connections without a request
	spoke   uint64              // how often one of them has sent a request
	ends    uint64              // answers whose header had said that the connection goes on
}

// A conn is what is known about a connection. It is small, because there may be
// many. It is also the context that the connection's requests derive from.
type conn struct {
	context.Context          // the caller's
	outer           net.Conn // what net/http has: what add returned, or a tls.Conn around that; set before it is listed
	inTLS           bool     // of net/http
	at              int32    // place in open; -1 if it is not there; protected by listing
	state           atomic.Int32
	request         atomic.Pointer[request] // that is being handled; of HTTP/1
	wire            *wire                   // nil unless what is read and written is counted
}

type (
	connKey    struct{} // context key of the *conn
	requestKey struct{} // and of the *request
)

// Value is cheaper than three contexts around each other.
func (c *conn) Value(key any) any {
	switch key.(type) {
	case connKey:
		return c
	case requestKey:
		if q := c.request.Load(); q != nil {
			return q
		}
	}
	return c.Context.Value(key)
}

// A wire counts what is read from and written to a connection on which HTTP/2 may
// be spoken.
type wire struct {
	*conn
	reads   atomic.Uint64 // that returned bytes
	idleAt  atomic.Uint64 // reads when the last request had ended
	started atomic.Uint64 // writes; one is under way if ended is less
	ended   atomic.Uint64
	// activeAt is ended, and one more, when net/http first called it active.
	activeAt atomic.Uint64
	writing  sync.Mutex // protects frames, and is held by each write
	frames   frames
	streams  streams // of HTTP/2
}

// silent reports whether not a byte of a request has come since the last one.
func (w *wire) silent() bool { return w.reads.Load() == w.idleAt.Load() }

// writes reports how many writes there have been, and whether all of them have
// ended.
func (w *wire) writes() (n uint64, ended bool) {
	n = w.started.Load()
	return n, n == w.ended.Load()
}

func (c *conn) useless() bool { return useless(http.ConnState(c.state.Load())) }

func useless(state http.ConnState) bool {
	return state == http.StateNew || state == http.StateIdle
}

// added is what add returned.
func (c *conn) added() net.Conn {
	if c.inTLS {
		return c.outer.(*tls.Conn).NetConn()
	}
	return c.outer
}

// inner is what the listener returned.
func (c *conn) inner() net.Conn { return bare(c.added()) }

// usesHTTP2 is right once there has been a request.
func (c *conn) usesHTTP2() bool { return c.wire != nil && c.wire.streams.used.Load() }

// add returns what net/http should have for inner.
func (s *conns) add(inner net.Conn) net.Conn {
	c := &conn{outer: inner, at: -1}
	k, ok := know(inner, c)
	if !ok {
		s.byConn.Store(inner, c)
		return inner
	}
	c.outer = k
	if _, other := k.(*knownOther); other || s.counted {
		c.wire = &wire{conn: c}
		c.wire.streams.wire = c.wire
		c.outer = c.wire.around(k)
	}
	return c.outer
}

// list is for StateNew, when net/http has told what it has made of a connection. Until
// then nobody else may look at it. Serve does not return in between.
func (s *conns) list(c *conn, outer net.Conn) {
	c.inTLS, c.outer = outer != c.outer, outer
	s.listing.Lock()
	defer s.listing.Unlock()
	c.at = int32(len(s.open)) //nolint:gosec // there are not so many descriptors
	s.open = append(s.open, c)
}

// find returns what add made of the connection that net/http calls c, or x/net's
// h2c, which has the one below.
func (s *conns) find(c net.Conn) *conn {
	if t, ok := c.(*tls.Conn); ok {
		if k, ok := t.NetConn().(known); ok {
			return k.known()
		}
	}
	for range 3 { // around each other
		if k, ok := c.(known); ok {
			return k.known()
		}
		if reflect.ValueOf(c).Comparable() {
			if info, ok := s.byConn.Load(c); ok {
				return info.(*conn)
			}
		}
		if c = below(c); c == nil {
			break
		}
	}
	return nil
}

func (s *conns) remove(c *conn) {
	if key := c.inner(); reflect.ValueOf(key).Comparable() {
		s.byConn.Delete(key)
	}
	s.listing.Lock()
	isOpen := c.at >= 0
	if isOpen {
		n := len(s.open) - 1
		last := s.open[n]
		s.open[c.at], last.at = last, c.at
		s.open, s.open[n], c.at = s.open[:n], nil, -1
	}
	s.listing.Unlock()
	if isOpen {
		s.wakeIfDraining()
	}
}

// count returns how many are open.
func (s *conns) count() int {
	s.listing.Lock()
	defer s.listing.Unlock()
	return len(s.open)
}

// all calls f for each connection.
func (s *conns) all(f func(*conn)) {
	s.listing.Lock()
	defer s.listing.Unlock()
	for _, c := range s.open {
		f(c)
	}
}

// changed is http.Server.ConnState.
func (s *conns) changed(c net.Conn, state http.ConnState) {
	info := s.find(c)
	if info == nil {
		return
	}
	if w := info.wire; w != nil {
		switch state {
		case http.StateIdle:
			w.idleAt.Store(w.reads.Load())
		case http.StateActive:
			w.activeAt.CompareAndSwap(0, w.ended.Load()+1)
		}
	}
	if state == http.StateNew {
		s.list(info, c)
	}
	info.state.Store(int32(state)) //nolint:gosec // there are five
	if state == http.StateHijacked {
		if !info.isOldH2C() {
			s.hijacked.add(info)
		} else if key := info.inner(); reflect.ValueOf(key).Comparable() {
			s.byConn.Store(key, info) // it goes on as x/net's
		}
	}
	if q := info.request.Load(); state == http.StateHijacked && q != nil && q.upgrades && !q.untracks.Swap(true) {
		q.handler.inFlight.End(q.task)
		s.free.Add(1) // see ended
	}
	if state == http.StateClosed || state == http.StateHijacked && !info.isOldH2C() {
		s.remove(info)
	}
	// Either drain, which looks at all, sees the state, or this sees that it drains.
	if s.draining.Load() {
		s.note(info, state)
	}
}

// note tells drain of a state.
func (s *conns) note(c *conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == http.StateActive {
		s.spoke++
	}
	if c.useless() {
		s.useless[c] = new(patience)
	} else {
		delete(s.useless, c)
	}
	s.wake()
}

// wake makes drain look again.
func (s *conns) wake() {
	select {
	case s.moved <- struct{}{}:
	default:
	}
}

func (s *conns) wakeIfDraining() {
	if s.draining.Load() {
		s.wake()
	}
}

// untracked is called for a request that nobody waits for.
func (s *conns) untracked(c *conn) {
	if c.usesHTTP2() {
		c.wire.streams.setFree(1)
	}
	s.free.Add(1)
	s.wakeIfDraining()
}

// isFree reports whether nobody waits for any of the connection's requests.
func (c *conn) isFree() bool {
	if c.usesHTTP2() {
		return c.wire.streams.onlyFree()
	}
	q := c.request.Load()
	return q != nil && q.untracks.Load() && !c.isOldH2C()
}

// onlyFree reports whether nobody waits for any of the requests.
func (s *conns) onlyFree() bool {
	if s.free.Load() == 0 {
		return false
	}
	only := true
	s.all(func(c *conn) { only = only && c.isFree() })
	return only
}

// closeFree closes the connections that are left, whose requests nobody waits for.
func (s *conns) closeFree() {
	var left []net.Conn
	s.all(func(c *conn) { left = append(left, c.outer) })
	for _, c := range left {
		_ = c.Close() // what matters is that it has gone
	}
}

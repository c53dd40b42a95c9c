package httpserver

import (
	"context"
	"hash/maphash"
	"net"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
)

// conns are the connections of a server. While it runs they are only listed; what
// they are doing is of interest when it drains.
type conns struct {
	counted bool // what is read and written is: see wire
	shards  [connShards]connShard
	open    atomic.Int64 // how many there are
	free    atomic.Int64 // requests that nobody waits for: see Untrack

	hijacked  hijacked
	warnOfH2C sync.Once

	draining atomic.Bool
	moved    chan struct{} // holds a wake-up for drain; made by it

	mu      sync.Mutex          // protects what follows, which drain makes
	useless map[*conn]*patience // connections without a request
	spoke   uint64              // how often one of them has sent a request
	ends    uint64              // answers whose header had said that the connection goes on
}

// connShards keeps cores from fighting over one lock.
const connShards = 16

type connShard struct {
	mu   sync.Mutex         // protects what follows
	open map[net.Conn]*conn // by what add returned
}

var seed = maphash.MakeSeed()

func (s *conns) shard(c net.Conn) *connShard {
	return &s.shards[maphash.Comparable(seed, c)%connShards]
}

// A conn is what is known about a connection. It is small, because there may be
// many. It is also the context that the connection's requests derive from.
type conn struct {
	context.Context          // the caller's
	added           net.Conn // what add returned
	outer           net.Conn // what net/http has: a tls.Conn around it, or itself; set before StateNew ends
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
	inner   net.Conn      // what the listener returned
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
// ended. It is not so, as far as one can know, where they are not counted.
func (w *wire) writes() (n uint64, ended bool) {
	n = w.started.Load()
	return n, n == w.ended.Load() && watchedConn(w.outer) != nil
}

func (c *conn) useless() bool { return useless(http.ConnState(c.state.Load())) }

func useless(state http.ConnState) bool {
	return state == http.StateNew || state == http.StateIdle
}

// inner is what the listener returned.
func (c *conn) inner() net.Conn {
	if c.wire != nil {
		return c.wire.inner
	}
	return c.added
}

// usesHTTP2 is right once there has been a request.
func (c *conn) usesHTTP2() bool { return c.wire != nil && c.wire.streams.used.Load() }

// add begins to watch inner, and returns what net/http should have.
func (s *conns) add(inner net.Conn) net.Conn {
	c := &conn{added: inner}
	if isKey := reflect.ValueOf(inner).Comparable(); s.counted || !isKey {
		w := &wire{conn: c, inner: inner}
		w.streams.wire = w
		// Others are left alone: what is sent on them only the kernel knows.
		if watched, ok := watch(inner, w, isKey); ok {
			c.wire, c.added = w, watched
		}
	}
	c.outer = c.added
	s.open.Add(1)
	shard := s.shard(c.added)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.open == nil {
		shard.open = make(map[net.Conn]*conn)
	}
	shard.open[c.added] = c
	return c.added
}

// find returns what add made of the connection that net/http calls c.
func (s *conns) find(c net.Conn) *conn {
	if w := watchedConn(c); w != nil {
		return w.watched().conn
	}
	// What is around one of the caller's kind is made by net/http, or by x/net's h2c.
	for range 3 {
		if info := s.lookUp(c); info != nil {
			return info
		}
		if c = below(c); c == nil {
			break
		}
	}
	return nil
}

func (s *conns) lookUp(c net.Conn) *conn {
	if !reflect.ValueOf(c).Comparable() {
		return nil
	}
	shard := s.shard(c)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	return shard.open[c]
}

func (s *conns) remove(c *conn) {
	shard := s.shard(c.added)
	shard.mu.Lock()
	_, open := shard.open[c.added]
	delete(shard.open, c.added)
	shard.mu.Unlock()
	if open {
		s.open.Add(-1)
		s.wakeIfDraining()
	}
}

// all calls f for each connection.
func (s *conns) all(f func(*conn)) {
	for i := range s.shards {
		shard := &s.shards[i]
		shard.mu.Lock()
		for _, c := range shard.open {
			f(c)
		}
		shard.mu.Unlock()
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
		info.outer = c
	}
	info.state.Store(int32(state)) //nolint:gosec // there are five
	if state == http.StateHijacked && !info.isOldH2C() {
		s.hijacked.add(info)
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

package httpserver

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// The linger, counted in wake-ups: on a machine that is ten times slower,
// clients need ten times as long to speak, and a tick comes as late as they do.
const (
	lingerTick     = 5 * time.Millisecond
	lingerSilent   = 10  // ticks in which no silent connection spoke
	lingerSpeaking = 100 // ticks without a byte from one that is in the middle of a header
	lingerMax      = 200 // ticks in all, for either
)

// maxClosers close connections at the same time: a tls.Conn says good-bye when
// it closes, and waits up to 5 s for a client that does not read.
const maxClosers = 256

// conns are the connections of a server, hijacked ones left out.
type conns struct {
	spoke   atomic.Uint64 // how often a silent connection has sent a request
	useless atomic.Int64  // connections that have none

	mu      sync.Mutex         // protects what follows
	open    map[net.Conn]*conn // by what add returned
	drained chan struct{}      // closed when open is empty; made by drain
}

// A conn is what is known about a connection.
type conn struct {
	inner   net.Conn                 // what the listener returned
	added   net.Conn                 // what add returned
	outer   atomic.Pointer[net.Conn] // what net/http has: a tls.Conn around it, or itself
	state   atomic.Int64             // http.ConnState
	reads   atomic.Uint64            // that returned bytes
	idleAt  atomic.Uint64            // reads when the last request had ended
	started atomic.Uint64            // writes; one is under way if ended is less
	ended   atomic.Uint64
	// activeAt is ended, and one more, when net/http first called it active.
	activeAt atomic.Uint64
	writing  sync.Mutex // protects frames, and is held by each write
	frames   frames
	closing  atomic.Bool // a closer has it
	renewed  atomic.Bool // a closer wants it to linger once more
	// For the closer that has it: how often it was not settled, and how often so
	// much was still on its way to the client.
	unsettled            int
	notArrived, underWay int
	streams              streams // of HTTP/2

	// For the goroutine in drain alone.
	seen     uint64 // reads at the last tick
	quiet    int    // ticks without a byte
	speaking int    // ticks in the middle of a header
}

type connKey struct{} // context key of the *conn

// silent reports whether not a byte of a request has come since the last one.
func (c *conn) silent() bool { return c.reads.Load() == c.idleAt.Load() }

func (c *conn) useless() bool { return useless(c.state.Load()) }

func useless(state int64) bool {
	return state == int64(http.StateNew) || state == int64(http.StateIdle)
}

// writes reports how many writes there have been, and whether all of them have
// ended. It is not so, as far as one can know, where they are not counted.
func (c *conn) writes() (n uint64, ended bool) {
	n = c.started.Load()
	return n, n == c.ended.Load() && watchedConn(*c.outer.Load()) != nil
}

// add begins to watch inner, and returns what net/http should have.
func (s *conns) add(inner net.Conn) net.Conn {
	c := &conn{inner: inner}
	outer := watch(inner, c)
	c.added = outer
	c.outer.Store(&outer)
	s.useless.Add(1) // it is StateNew
	c.streams.conn = c
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[net.Conn]*conn)
	}
	s.open[outer] = c
	return outer
}

// find returns what add made of the connection that net/http calls c.
func (s *conns) find(c net.Conn) *conn {
	if w := watchedConn(c); w != nil {
		return w.watched()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if info, ok := s.open[c]; ok {
		return info
	}
	if t, ok := c.(*tls.Conn); ok && reflect.ValueOf(t.NetConn()).Comparable() { // by net/http, around one of the caller's kind
		return s.open[t.NetConn()]
	}
	return nil
}

// changed is http.Server.ConnState.
func (s *conns) changed(c net.Conn, state http.ConnState) {
	info := s.find(c)
	if info == nil {
		return
	}
	if state == http.StateIdle {
		info.idleAt.Store(info.reads.Load())
	}
	was := useless(info.state.Swap(int64(state)))
	switch is := useless(int64(state)); {
	case was && !is:
		s.useless.Add(-1)
	case is && !was:
		s.useless.Add(1)
	}
	switch state {
	case http.StateNew:
		outer := c // so that c itself stays off the heap in every other case
		info.outer.Store(&outer)
	case http.StateActive:
		info.activeAt.CompareAndSwap(0, info.ended.Load()+1)
		s.spoke.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.mu.Lock()
		delete(s.open, info.added)
		s.emptyLocked()
		s.mu.Unlock()
	}
}

func (s *conns) emptyLocked() {
	if s.drained != nil && len(s.open) == 0 {
		close(s.drained)
		s.drained = nil
	}
}

// drain closes connections that are of no use any more and waits for the
// others. It returns when there is none, or when ctx ends, with the number of
// those that are left.
func (s *conns) drain(ctx context.Context) (left int) {
	s.mu.Lock()
	drained := make(chan struct{})
	s.drained = drained
	s.emptyLocked()
	s.mu.Unlock()

	var closers errgroup.Group
	closers.SetLimit(maxClosers)
	tick := time.NewTicker(lingerTick)
	defer tick.Stop()
	spoke := s.spoke.Load()
	for ticks, quiet := 0, 0; ; ticks++ {
		select {
		case <-drained:
			_ = closers.Wait() // errors are of connections that the client has closed
			return 0
		case <-ctx.Done():
			// Closers that are left end by themselves, crypto/tls sees to that.
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.open)
		case <-tick.C:
		}
		if s.useless.Load() == 0 {
			continue // with thousands in flight a look at each costs
		}
		quiet++
		began := s.sweep(quiet > lingerSilent || ticks >= lingerMax, &closers)
		if now := s.spoke.Load(); began || now != spoke {
			quiet, spoke = 0, now
		}
	}
}

// sweep closes what has lingered long enough, silent connections only if told
// to. It reports whether one has begun to speak since the last sweep.
func (s *conns) sweep(closeSilent bool, closers *errgroup.Group) (began bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		if !c.useless() {
			c.quiet, c.speaking = 0, 0
			continue
		}
		reads := c.reads.Load()
		if c.quiet++; reads != c.seen || c.renewed.Swap(false) {
			c.seen, c.quiet = reads, 0
		}
		enough := closeSilent && c.quiet >= lingerSilent
		switch {
		case c.silent():
			c.speaking = 0
		case c.streams.used.Load(): // what comes on an idle HTTP/2 connection may be a PING
			c.speaking++
			enough = enough || c.speaking >= lingerMax
		default:
			began = began || c.speaking == 0
			c.speaking++
			enough = c.quiet >= lingerSpeaking || c.speaking >= lingerMax
		}
		if enough && c.closing.CompareAndSwap(false, true) {
			// What finds no place now is looked at again by the next sweep.
			if !closers.TryGo(func() error { return c.close(reads) }) {
				c.closing.Store(false)
				return began
			}
		}
	}
	return began
}

// close closes the connection, unless something has come since the sweep, which
// saw so many reads. On HTTP/2 it says good-bye first, and leaves the closing to
// the next time.
func (c *conn) close(reads uint64) error {
	defer c.closing.Store(false)
	if !c.useless() || readable(c.inner) || reads != c.reads.Load() {
		return nil
	}
	// HTTP/2 is idle when the end of the last answer is in a buffer.
	if c.started.Load() != c.ended.Load() || c.midFrame() {
		return nil
	}
	if c.isHTTP2() {
		if c.streams.byeIfIdle() {
			c.renewed.Store(true)
			return nil
		}
		// Its client has just connected, and may be about to send a request.
		if c.unsettled < lingerSpeaking && watchedConn(*c.outer.Load()) != nil && !c.clearHTTP2() && !c.settled() {
			c.unsettled++
			return nil
		}
	}
	// Either way net/http sees it, and says StateClosed.
	outer := *c.outer.Load()
	if watchedConn(outer) == nil {
		return outer.Close()
	}
	_, clear := outer.(watched)
	n := endIfSilent(c.inner, !clear, c.notArrived >= lingerMax, func() bool { // net/http may have been quicker
		return c.useless() && reads == c.reads.Load() && c.started.Load() == c.ended.Load()
	})
	if c.notArrived++; n != c.underWay { // as long as there is progress, it is waited for
		c.notArrived, c.underWay = 0, n
	}
	return nil
}

// isHTTP2 also knows a connection that has had no request.
func (c *conn) isHTTP2() bool {
	if http.ConnState(c.state.Load()) == http.StateIdle { // so there is no handshake to wait for
		if t, ok := (*c.outer.Load()).(*tls.Conn); ok && t.ConnectionState().NegotiatedProtocol == "h2" {
			c.streams.used.Store(true)
		}
	}
	return c.streams.used.Load()
}

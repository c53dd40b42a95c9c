package httpserver

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
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
	lingerMax      = 200 // ticks in all for such a one
)

// maxClosers close connections at the same time: a tls.Conn says good-bye when
// it closes, and waits up to 5 s for a client that does not read.
const maxClosers = 256

// conns are the connections of a server, hijacked ones left out.
type conns struct {
	mu      sync.Mutex         // protects what follows
	open    map[net.Conn]*conn // by what the listener returned
	drained chan struct{}      // closed when open is empty; made by drain
}

// A conn is what is known about a connection.
type conn struct {
	outer   atomic.Pointer[net.Conn] // what net/http has: a tls.Conn around it, or itself
	inner   net.Conn                 // what the listener returned, which package net made
	state   atomic.Int64             // http.ConnState
	reads   atomic.Uint64            // that returned bytes
	idleAt  atomic.Uint64            // reads when the last request had ended
	streams streams                  // of HTTP/2

	// For the goroutine in drain alone.
	seen   uint64 // reads at the last tick
	quiet  int    // ticks without a byte
	spoke  bool   // at the last tick it was in the middle of a header
	ticks  int    // spent in the middle of a header
	closed bool   // by us
}

type connKey struct{} // context key of the *conn

// silent reports whether not a byte of a request has come since the last one.
func (c *conn) silent() bool { return c.reads.Load() == c.idleAt.Load() }

func (c *conn) close() error { return (*c.outer.Load()).Close() }

// add begins to watch inner, and returns what net/http should have.
func (s *conns) add(inner net.Conn) net.Conn {
	c := &conn{inner: inner}
	outer := watch(inner, c)
	c.outer.Store(&outer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[net.Conn]*conn)
	}
	s.open[inner] = c
	return outer
}

// find returns what add made of the connection that net/http calls c.
func (s *conns) find(c net.Conn) *conn {
	inner := c
	if t, ok := c.(*tls.Conn); ok {
		inner = t.NetConn()
	}
	if w, ok := inner.(watched); ok {
		return w.watched()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[c]
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
	info.state.Store(int64(state))
	switch state {
	case http.StateNew:
		info.outer.Store(&c)
	case http.StateClosed, http.StateHijacked:
		s.mu.Lock()
		delete(s.open, info.inner)
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
	for quiet := 0; ; quiet++ {
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
		if s.sweep(quiet >= lingerSilent, &closers) {
			quiet = 0
		}
	}
}

// sweep closes what has lingered long enough; silent ones only if nobody has
// begun to speak for a while. It reports whether somebody has, since the last
// sweep.
func (s *conns) sweep(closeSilent bool, closers *errgroup.Group) (began bool) {
	var idle []*conn
	s.mu.Lock()
	for _, c := range s.open {
		if c.closed {
			continue
		}
		if state := http.ConnState(c.state.Load()); state != http.StateNew && state != http.StateIdle {
			began = began || c.quiet > 0 && !c.spoke // it went from silence to a whole request
			c.quiet, c.spoke, c.ticks = 0, false, 0
			continue
		}
		reads := c.reads.Load()
		if c.quiet++; reads != c.seen {
			c.seen, c.quiet = reads, 0
		}
		speaking := !c.silent()
		began = began || speaking && !c.spoke
		if c.spoke = speaking; speaking {
			c.ticks++
		}
		if speaking && (c.quiet >= lingerSpeaking || c.ticks >= lingerMax) || !speaking && closeSilent && c.quiet >= lingerSilent {
			if !readable(c.inner) {
				idle = append(idle, c)
			}
		}
	}
	s.mu.Unlock()
	for _, c := range idle {
		// net/http sees it, and says StateClosed. What finds no place now is
		// looked at again by the next sweep.
		if c.closed = closers.TryGo(c.close); !c.closed {
			break
		}
	}
	return began
}

// An accepter is the listener that net/http sees.
type accepter struct {
	net.Listener
	conns *conns
}

func (a accepter) Accept() (net.Conn, error) {
	c, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return a.conns.add(c), nil
}

// watched connections count their reads. They embed the concrete type, so that
// sendfile and all its other methods survive.
type watched interface {
	watched() *conn
	bare() net.Conn
}

type tcpConn struct {
	*net.TCPConn
	info *conn
}

func (c *tcpConn) Read(p []byte) (int, error) { return c.info.count(c.TCPConn.Read(p)) }
func (c *tcpConn) watched() *conn             { return c.info }
func (c *tcpConn) bare() net.Conn             { return c.TCPConn }

type unixConn struct {
	*net.UnixConn
	info *conn
}

func (c *unixConn) Read(p []byte) (int, error) { return c.info.count(c.UnixConn.Read(p)) }
func (c *unixConn) watched() *conn             { return c.info }
func (c *unixConn) bare() net.Conn             { return c.UnixConn }

type otherConn struct {
	net.Conn
	info *conn
}

func (c *otherConn) Read(p []byte) (int, error) { return c.info.count(c.Conn.Read(p)) }
func (c *otherConn) watched() *conn             { return c.info }
func (c *otherConn) bare() net.Conn             { return c.Conn }

func (c *conn) count(n int, err error) (int, error) {
	if n > 0 {
		c.reads.Add(1)
	}
	return n, err
}

func watch(c net.Conn, info *conn) net.Conn {
	switch c := c.(type) {
	case *net.TCPConn:
		return &tcpConn{c, info}
	case *net.UnixConn:
		return &unixConn{c, info}
	case *tls.Conn:
		// net/http has to see a tls.Conn as such, or there is no HTTP/2. What
		// it reads is not counted: it lingers as one that is silent.
		return c
	default:
		return &otherConn{c, info}
	}
}

// bare is the connection as it came from the listener, for the user's code,
// which may know its type.
func bare(c net.Conn) net.Conn {
	if w, ok := c.(watched); ok {
		return w.bare()
	}
	return c
}

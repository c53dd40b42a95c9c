package grpcserver

import (
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/listener"
)

// conns are the open connections of a server.
type conns struct {
	mu      sync.Mutex // protects what follows
	open    map[*conn]struct{}
	changed chan struct{} // holds a wake-up for linger; made by it
}

// accepter is the listener that gRPC gets.
type accepter struct {
	*listener.Listener
	conns *conns
}

func (a accepter) Accept() (net.Conn, error) {
	inner, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	setUserTimeout(inner)
	return a.conns.add(inner), nil
}

// A conn is what is known about a connection. gRPC has it as its net.Conn.
type conn struct {
	net.Conn // raw
	conns    *conns
	raw      *raw
	first    firstRPC
	ready    atomic.Pointer[time.Time] // when the handshakes had ended
	spoken   atomic.Bool               // there has been an RPC, as far as one can see
	closed   atomic.Bool
	lingered lingered
}

// raw counts the reads of the socket.
type raw struct {
	net.Conn
	reads  atomic.Uint64   // that returned bytes
	socket syscall.RawConn // nil if Conn is not package net's: who knows what it has read ahead

	reading reading // for the goroutine that reads
}

func newRaw(inner net.Conn) *raw {
	c := &raw{Conn: inner}
	switch inner := inner.(type) {
	case *net.TCPConn:
		c.socket, _ = inner.SyscallConn() // an error means that it is closed, which Read will say
	case *net.UnixConn:
		c.socket, _ = inner.SyscallConn()
	}
	return c
}

func (c *raw) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.reads.Add(1)
	}
	return n, err
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

// NetConn returns what the listener made, for credentials that have to look at
// the socket.
func (c *conn) NetConn() net.Conn { return c.raw.Conn }

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.listen(b[:n])
	}
	return n, err
}

func (c *conn) listen(b []byte) {
	if c.first.read(b) {
		c.spoken.Store(true)
		c.conns.wake()
	}
}

// SetDeadline is how gRPC says that the handshakes have ended: they have a
// deadline (grpc.ConnectionTimeout), and then there is none. Until then the
// server cannot stop, and closes the connection if it is told to.
func (c *conn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		now := time.Now()
		c.ready.Store(&now)
		c.conns.wake()
	}
	return c.Conn.SetDeadline(t)
}

func (c *conn) Close() error {
	c.closed.Store(true)
	c.conns.mu.Lock()
	delete(c.conns.open, c)
	c.conns.mu.Unlock()
	c.conns.wake()
	return c.Conn.Close()
}

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

package grpcserver

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// A conn is the connection that gRPC uses, with its state.
type conn struct {
	net.Conn   // raw
	conns      *conns
	raw        *raw
	firstRPC   firstRPC
	handshaken atomic.Pointer[time.Time] // when the handshakes completed
	hadRPC     atomic.Bool               // as far as that can be seen
	closed     atomic.Bool
	linger     linger
}

// raw counts the reads of a connection from the listener.
type raw struct {
	net.Conn
	reads  atomic.Uint64   // that returned bytes
	socket syscall.RawConn // nil if Conn is not of package net, because it may have read ahead

	onReady readOnReady // of the goroutine that reads
}

func newRaw(inner net.Conn) *raw {
	c := &raw{Conn: inner}
	switch inner := inner.(type) {
	case *net.TCPConn:
		c.socket, _ = inner.SyscallConn() // an error means that it is closed; Read will return it
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

// NetConn returns the connection from the listener, for credentials that inspect the
// socket.
func (c *conn) NetConn() net.Conn { return c.raw.Conn }

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.observe(b[:n])
	}
	return n, err
}

// observe looks for the first RPC in what was read.
func (c *conn) observe(b []byte) {
	if c.firstRPC.read(b) {
		c.hadRPC.Store(true)
		c.conns.wake()
	}
}

// SetDeadline shows when the handshakes have completed: during them gRPC sets a
// deadline (grpc.ConnectionTimeout), and afterwards it removes it. Until then GracefulStop
// blocks, and gRPC may close the connection because of it.
func (c *conn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		now := time.Now()
		c.handshaken.Store(&now)
		c.conns.wake()
	}
	return c.Conn.SetDeadline(t)
}

func (c *conn) Close() error {
	c.closed.Store(true)
	c.conns.remove(c)
	return c.Conn.Close()
}

package httpserver_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A pipeNet is a network with one server that does not use the kernel. It is for tests
// with virtual time, in which nothing can be late.
type pipeNet struct {
	conns chan net.Conn
	close sync.Once
	ended chan struct{}
}

func newPipeNet() *pipeNet {
	return &pipeNet{conns: make(chan net.Conn), ended: make(chan struct{})}
}

// Accept implements net.Listener.
func (n *pipeNet) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.ended:
		return nil, net.ErrClosed
	}
}

func (n *pipeNet) Close() error {
	n.close.Do(func() { close(n.ended) })
	return nil
}

func (n *pipeNet) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

func (n *pipeNet) dial() (net.Conn, error) {
	up, down := newHalfPipe(), newHalfPipe()
	select {
	case n.conns <- &pipeConn{from: up, to: down}:
		return &pipeConn{from: down, to: up}, nil
	case <-n.ended:
		return nil, syscall.ECONNREFUSED
	}
}

// dialRaw is dialRaw for this network.
func (n *pipeNet) dialRaw(t testing.TB) rawConn {
	t.Helper()
	c, err := n.dial()
	if err != nil {
		t.Fatal(err)
	}
	return raw(t, c)
}

// client returns a client for the protocol.
func (n *pipeNet) client(t testing.TB, p protocol) *http.Client {
	c := p.client(t)
	c.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) { return n.dial() }
	return c
}

// A pipeConn has an unlimited buffer. Two ends of a net.Pipe that write to each other
// would block.
type pipeConn struct{ from, to *halfPipe }

func (c *pipeConn) Read(p []byte) (int, error)  { return c.from.read(p) }
func (c *pipeConn) Write(p []byte) (int, error) { return c.to.write(p) }

func (c *pipeConn) Close() error {
	c.from.close()
	c.to.close()
	return nil
}

func (c *pipeConn) LocalAddr() net.Addr  { return pipeAddr{} }
func (c *pipeConn) RemoteAddr() net.Addr { return pipeAddr{} }

func (c *pipeConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.from.setDeadline(t)
	return nil
}

// SetWriteDeadline does nothing, because writes do not block.
func (c *pipeConn) SetWriteDeadline(time.Time) error { return nil }

// A halfPipe is one direction of a connection.
type halfPipe struct {
	mu       sync.Mutex // protects what follows
	changed  sync.Cond
	bytes    bytes.Buffer
	closed   bool // by either side
	deadline time.Time
	timer    *time.Timer
}

func newHalfPipe() *halfPipe {
	p := &halfPipe{}
	p.changed.L = &p.mu
	return p
}

func (p *halfPipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case !p.deadline.IsZero() && !time.Now().Before(p.deadline):
			return 0, os.ErrDeadlineExceeded
		case p.bytes.Len() > 0:
			return p.bytes.Read(b)
		case p.closed:
			return 0, io.EOF
		}
		p.changed.Wait()
	}
}

func (p *halfPipe) write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, syscall.EPIPE
	}
	p.changed.Broadcast()
	return p.bytes.Write(b)
}

func (p *halfPipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.changed.Broadcast()
	if p.timer != nil {
		p.timer.Stop()
	}
}

func (p *halfPipe) setDeadline(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	p.changed.Broadcast()
	if p.timer != nil {
		p.timer.Stop()
	}
	if !t.IsZero() {
		p.timer = time.AfterFunc(time.Until(t), p.changed.Broadcast)
	}
}

package load

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A heardConn knows for how long its client may have been silent, as the server
// sees it: from before a write, or the dial, to after the next one, or the end.
// All that a busy machine does to the client in between is in it.
type heardConn struct {
	net.Conn
	silence *longest // of all connections

	mu      sync.Mutex // protects what follows
	spoke   time.Time  // when the last write began
	heardAt time.Time  // when the last answer ended, or until there was one, when the last bytes came
	used    bool       // there was one
	wrote   bool       // something of the present request
	idle    time.Duration
}

func (c *heardConn) Write(p []byte) (int, error) {
	began := time.Now()
	c.mu.Lock()
	if !c.wrote {
		c.wrote, c.idle = true, began.Sub(c.heardAt)
	}
	c.mu.Unlock()
	n, err := c.Conn.Write(p)
	c.heard(began)
	return n, err
}

func (c *heardConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.heard(time.Now())
	}
	if n > 0 {
		c.mu.Lock()
		if !c.used {
			c.heardAt = time.Now()
		}
		c.mu.Unlock()
	}
	return n, err
}

// answered is for each answer. What comes later belongs to none: on HTTP/2 a GOAWAY
// does.
func (c *heardConn) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heardAt, c.used = time.Now(), true
}

// begin is for each request on the connection.
func (c *heardConn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrote = false
}

// idleBefore is for how long the connection had been idle when the present
// request was written, or, if nothing of it was, for how long it has been.
func (c *heardConn) idleBefore() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wrote {
		return c.idle
	}
	return time.Since(c.heardAt)
}

// heardConnOf is what is below c, which may be a tls.Conn; nil if it is none of ours.
func heardConnOf(c net.Conn) *heardConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	h, _ := c.(*heardConn)
	return h
}

func (c *heardConn) heard(began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silence.add(time.Since(c.spoke))
	c.spoke = began
}

// pace is how slow the clients of a run are.
type pace struct{ silence, slowest longest }

// longest is the longest of durations.
type longest struct{ ns atomic.Int64 }

func (l *longest) get() time.Duration { return time.Duration(l.ns.Load()) }
func (l *longest) forget()            { l.ns.Store(0) }

func (l *longest) add(d time.Duration) {
	for {
		now := l.ns.Load()
		if int64(d) <= now || l.ns.CompareAndSwap(now, int64(d)) {
			return
		}
	}
}

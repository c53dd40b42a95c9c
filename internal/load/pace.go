package load

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A monitoredConn measures how long its client may have been silent, as seen by the
// server: from before a write or the dial to after the next write or the end. This
// includes delays of a slow machine.
type monitoredConn struct {
	net.Conn
	silence *longest // of all connections

	mu        sync.Mutex // protects what follows
	lastWrite time.Time  // when the last write started
	lastRead  time.Time  // when the last response ended or, before the first one, when bytes arrived
	arrived   time.Time  // when the kernel received what was read last; zero if it does not say so
	used      bool       // there was a response
	wrote     bool       // part of the current request
	wroteAt   time.Time  // then
	idle      time.Duration
}

func (c *monitoredConn) Write(p []byte) (int, error) {
	began := time.Now()
	c.mu.Lock()
	first := !c.wrote
	if first {
		c.wrote, c.idle = true, began.Sub(c.lastRead)
		if !c.arrived.IsZero() {
			c.idle = max(c.idle, began.Sub(c.arrived))
		}
	}
	c.mu.Unlock()
	n, err := c.Conn.Write(p)
	c.wroteOrEnded(began)
	if first {
		c.mu.Lock()
		c.wroteAt = time.Now()
		c.mu.Unlock()
	}
	return n, err
}

func (c *monitoredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.wroteOrEnded(time.Now())
	}
	if n > 0 {
		now := time.Now()
		since, known := sinceArrival(c.Conn)
		c.mu.Lock()
		if !c.used {
			c.lastRead = now
		}
		if known && n > alert {
			c.arrived = now.Add(-since)
		}
		c.mu.Unlock()
	}
	return n, err
}

// alert is the length of an alert of TLS, with which a server closes a connection. It is no
// response, and nothing that is as short is one.
const alert = 31

// answered is called for each response. Later bytes do not belong to a response; they may
// be a GOAWAY, for example.
func (c *monitoredConn) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastRead, c.used = time.Now(), true
}

// begin is called for each request on the connection.
func (c *monitoredConn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrote, c.wroteAt = false, time.Time{}
}

// idleBefore returns how long the connection had been idle when the current request was
// written. If it has not been written, it returns how long the connection has been idle.
func (c *monitoredConn) idleBefore() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wrote {
		return c.idle
	}
	return time.Since(c.lastRead)
}

// ended says what the server may know about the connection.
func (c *monitoredConn) ended() Ended {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := Ended{Client: c.LocalAddr().String(), Wrote: time.Now()}
	if c.wrote && !c.wroteAt.IsZero() {
		e.Wrote = c.wroteAt
	}
	return e
}

// monitoredConnOf returns the monitoredConn that c is or, as a tls.Conn, wraps; nil if
// there is none.
func monitoredConnOf(c net.Conn) *monitoredConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	m, _ := c.(*monitoredConn)
	return m
}

func (c *monitoredConn) wroteOrEnded(began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silence.add(time.Since(c.lastWrite))
	c.lastWrite = began
}

// pace measures how slow the clients of a run are.
type pace struct{ silence, slowest longest }

// longest is the maximum of durations.
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

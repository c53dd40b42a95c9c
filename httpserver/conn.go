package httpserver

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
)

// A conn is the state of a connection. It is one small allocation, because there may be
// many: it is also the connection that net/http has, if the listener returned a TCPConn, and
// the context from which the contexts of its requests derive.
type conn struct {
	*net.TCPConn          // what the listener returned; nil if that was another type
	context.Context       // the caller's
	index           int32 // in conns.open; -1 if it is not there; protected by conns.listMu
	state           atomic.Int32
	request         atomic.Pointer[request] // in progress; HTTP/1 only
	extra           *extra                  // nil if net/http has the conn
}

// An extra is what a conn needs if net/http has another connection than the conn.
type extra struct {
	outer net.Conn // what net/http has: what add returned, or a tls.Conn around that; set before it is listed
	inTLS bool     // of net/http
	wire  *wire    // nil unless reads and writes are counted
}

type (
	connKey    struct{} // context key of the *conn
	requestKey struct{} // context key of the *request
)

// Value is cheaper than three nested contexts.
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

// outer returns what net/http has.
func (c *conn) outer() net.Conn {
	if c.extra == nil {
		return c
	}
	return c.extra.outer
}

// inTLS reports whether net/http does TLS on the connection.
func (c *conn) inTLS() bool { return c.extra != nil && c.extra.inTLS }

// wire returns nil unless reads and writes are counted.
func (c *conn) wire() *wire {
	if c.extra == nil {
		return nil
	}
	return c.extra.wire
}

// isIdle reports whether the connection has no request in progress.
func (c *conn) isIdle() bool { return isIdle(http.ConnState(c.state.Load())) }

func isIdle(state http.ConnState) bool {
	return state == http.StateNew || state == http.StateIdle
}

// accepted returns what Accept has returned to net/http.
func (c *conn) accepted() net.Conn {
	if c.inTLS() {
		return c.outer().(*tls.Conn).NetConn()
	}
	return c.outer()
}

// inner returns what the caller's listener has returned.
func (c *conn) inner() net.Conn { return unwrap(c.accepted()) }

// socket returns the connection that has the socket: inner or one that it wraps, or
// inner if there is none.
func (c *conn) socket() net.Conn {
	inner := c.inner()
	s := inner
	for range 5 { // nested
		switch sc := s.(type) {
		case *net.TCPConn, *net.UnixConn:
			return s
		case syscall.Conn:
			if _, err := sc.SyscallConn(); err == nil {
				return s
			}
		}
		if s = underlying(s); s == nil {
			break
		}
	}
	return inner
}

// usesHTTP2 is reliable once there has been a request.
func (c *conn) usesHTTP2() bool {
	w := c.wire()
	return w != nil && w.streams.used.Load()
}

// isXNetH2C reports whether h2c of golang.org/x/net has taken the connection over. That
// goes on reporting the states of net/http.
func (c *conn) isXNetH2C() bool {
	q := c.request.Load()
	return q != nil && (q.method == "PRI" || q.upgrades)
}

// isUntracked reports whether all requests of the connection are untracked.
func (c *conn) isUntracked() bool {
	if c.usesHTTP2() {
		return c.wire().streams.onlyUntracked()
	}
	q := c.request.Load()
	return q != nil && q.untracked.Load() && !c.isXNetH2C()
}

package httpserver

import (
	"crypto/tls"
	"net"
	"reflect"
)

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

// known is a connection of ours around what the listener returned. All embed the
// concrete type, so that sendfile and its other methods survive.
type known interface {
	net.Conn
	known() *conn
	bare() net.Conn
}

type knownTCP struct {
	*net.TCPConn
	info *conn
}

func (c *knownTCP) known() *conn   { return c.info }
func (c *knownTCP) bare() net.Conn { return c.TCPConn }

type knownUnix struct {
	*net.UnixConn
	info *conn
}

func (c *knownUnix) known() *conn   { return c.info }
func (c *knownUnix) bare() net.Conn { return c.UnixConn }

// know wraps the connections of package net. Others are left alone, because nobody
// knows what methods a wrapper would hide: net/http has to see a tls.Conn as such,
// or there is no HTTP/2.
func know(c net.Conn, info *conn) (net.Conn, bool) {
	switch c := c.(type) {
	case *net.TCPConn:
		return &knownTCP{c, info}, true
	case *net.UnixConn:
		return &knownUnix{c, info}, true
	}
	return nil, false
}

// watched connections count their reads and writes.
type watched interface {
	known
	watched()
}

type tcpConn struct {
	*net.TCPConn
	info *wire
}

func (c *tcpConn) Read(p []byte) (int, error) { return c.info.count(c.TCPConn.Read(p)) }
func (c *tcpConn) Write(p []byte) (int, error) {
	return c.info.write(c.TCPConn, p)
}
func (c *tcpConn) watched()       {}
func (c *tcpConn) known() *conn   { return c.info.conn }
func (c *tcpConn) bare() net.Conn { return c.TCPConn }

type unixConn struct {
	*net.UnixConn
	info *wire
}

func (c *unixConn) Read(p []byte) (int, error) { return c.info.count(c.UnixConn.Read(p)) }
func (c *unixConn) Write(p []byte) (int, error) {
	return c.info.write(c.UnixConn, p)
}
func (c *unixConn) watched()       {}
func (c *unixConn) known() *conn   { return c.info.conn }
func (c *unixConn) bare() net.Conn { return c.UnixConn }

// otherConn is for what cannot be a map key.
type otherConn struct {
	net.Conn
	info *wire
}

func (c *otherConn) Read(p []byte) (int, error) { return c.info.count(c.Conn.Read(p)) }
func (c *otherConn) Write(p []byte) (int, error) {
	return c.info.write(c.Conn, p)
}
func (c *otherConn) watched()       {}
func (c *otherConn) known() *conn   { return c.info.conn }
func (c *otherConn) bare() net.Conn { return c.Conn }

func (c *wire) write(to net.Conn, p []byte) (n int, err error) {
	c.started.Add(1)
	defer c.ended.Add(1)
	c.writing.Lock()
	defer c.writing.Unlock()
	n, err = to.Write(p)
	c.frames.wrote(p[:n])
	return n, err
}

func (c *wire) count(n int, err error) (int, error) {
	if n > 0 {
		c.reads.Add(1)
	}
	return n, err
}

// watch is know for what is counted, and for what cannot be a map key.
func watch(c net.Conn, w *wire, isKey bool) (net.Conn, bool) {
	switch c := c.(type) {
	case *net.TCPConn:
		return &tcpConn{c, w}, true
	case *net.UnixConn:
		return &unixConn{c, w}, true
	}
	if !isKey {
		return &otherConn{c, w}, true
	}
	return nil, false
}

// below is what c is made around; nil if it does not say.
func below(c net.Conn) net.Conn {
	if n, ok := c.(interface{ NetConn() net.Conn }); ok { // as a tls.Conn has it
		return n.NetConn()
	}
	v := reflect.ValueOf(c)
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil
	}
	field, ok := v.Type().FieldByName("Conn")
	if !ok || !field.IsExported() {
		return nil
	}
	v, err := v.FieldByIndexErr(field.Index)
	if err != nil || !v.CanInterface() {
		return nil
	}
	inner, _ := v.Interface().(net.Conn)
	return inner
}

// watchedConn is what is below c, or c itself, if that counts its reads.
func watchedConn(c net.Conn) watched {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	w, _ := c.(watched)
	return w
}

// bare is the connection as it came from the listener, for the user's code,
// which may know its type.
func bare(c net.Conn) net.Conn {
	if k, ok := c.(known); ok {
		return k.bare()
	}
	return c
}

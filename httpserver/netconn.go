package httpserver

import (
	"net"
	"reflect"
)

// A connListener is the listener that net/http uses.
type connListener struct {
	net.Listener
	conns *conns
}

func (l connListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.conns.add(c), nil
}

// A wrapper is a connection of this package around one from the listener. Connections
// of package net are embedded by their type, which keeps sendfile and their other
// methods.
type wrapper interface {
	net.Conn
	of() *conn
	unwrap() net.Conn
}

func (c *conn) of() *conn        { return c }
func (c *conn) unwrap() net.Conn { return c.TCPConn }

type unixConn struct {
	*net.UnixConn
	info *conn
}

func (c *unixConn) of() *conn        { return c.info }
func (c *unixConn) unwrap() net.Conn { return c.UnixConn }

// An otherConn is for types that cannot be a map key.
type otherConn struct {
	net.Conn
	info *conn
}

func (c *otherConn) of() *conn        { return c.info }
func (c *otherConn) unwrap() net.Conn { return c.Conn }

// wrap wraps connections of package net and those that cannot be a map key. It leaves
// others alone, because a wrapper might hide methods: net/http has to see a tls.Conn, or
// there is no HTTP/2.
func wrap(c net.Conn, info *conn) (w wrapper, ok bool) {
	switch c := c.(type) {
	case *net.TCPConn:
		info.TCPConn = c
		return info, true
	case *net.UnixConn:
		return &unixConn{c, info}, true
	}
	if !reflect.ValueOf(c).Comparable() {
		return &otherConn{c, info}, true
	}
	return nil, false
}

// unwrap returns the connection as it came from the listener. It is for the user's
// code, which may expect a certain type.
func unwrap(c net.Conn) net.Conn {
	if w, ok := c.(wrapper); ok {
		return w.unwrap()
	}
	return c
}

type countingTCP struct {
	*conn
	wire *wire
}

func (c countingTCP) Read(p []byte) (int, error)  { return c.wire.countRead(c.TCPConn.Read(p)) }
func (c countingTCP) Write(p []byte) (int, error) { return c.wire.write(c.TCPConn, p) }

type countingUnix struct {
	*unixConn
	wire *wire
}

func (c countingUnix) Read(p []byte) (int, error)  { return c.wire.countRead(c.UnixConn.Read(p)) }
func (c countingUnix) Write(p []byte) (int, error) { return c.wire.write(c.UnixConn, p) }

type countingOther struct {
	*otherConn
	wire *wire
}

func (c countingOther) Read(p []byte) (int, error)  { return c.wire.countRead(c.Conn.Read(p)) }
func (c countingOther) Write(p []byte) (int, error) { return c.wire.write(c.Conn, p) }

// wrap returns a connection whose reads and writes are counted.
func (w *wire) wrap(c wrapper) net.Conn {
	switch c := c.(type) {
	case *conn:
		return countingTCP{c, w}
	case *unixConn:
		return countingUnix{c, w}
	case *otherConn:
		return countingOther{c, w}
	}
	return c
}

// underlying returns the connection that c wraps; nil if c does not reveal it.
func underlying(c net.Conn) net.Conn {
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

package httpserver

import (
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

// known is a connection of ours around what the listener returned. Those of package
// net are embedded as what they are, so that sendfile and their other methods survive.
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

// knownOther is for what cannot be a map key.
type knownOther struct {
	net.Conn
	info *conn
}

func (c *knownOther) known() *conn   { return c.info }
func (c *knownOther) bare() net.Conn { return c.Conn }

// know wraps the connections of package net, and what cannot be a map key. Others
// are left alone, because nobody knows what methods a wrapper would hide: net/http
// has to see a tls.Conn as such, or there is no HTTP/2.
func know(c net.Conn, info *conn) (k known, ok bool) {
	switch c := c.(type) {
	case *net.TCPConn:
		return &knownTCP{c, info}, true
	case *net.UnixConn:
		return &knownUnix{c, info}, true
	}
	if !reflect.ValueOf(c).Comparable() {
		return &knownOther{c, info}, true
	}
	return nil, false
}

type countedTCP struct {
	*knownTCP
	wire *wire
}

func (c countedTCP) Read(p []byte) (int, error)  { return c.wire.count(c.TCPConn.Read(p)) }
func (c countedTCP) Write(p []byte) (int, error) { return c.wire.write(c.TCPConn, p) }

type countedUnix struct {
	*knownUnix
	wire *wire
}

func (c countedUnix) Read(p []byte) (int, error)  { return c.wire.count(c.UnixConn.Read(p)) }
func (c countedUnix) Write(p []byte) (int, error) { return c.wire.write(c.UnixConn, p) }

type countedOther struct {
	*knownOther
	wire *wire
}

func (c countedOther) Read(p []byte) (int, error)  { return c.wire.count(c.Conn.Read(p)) }
func (c countedOther) Write(p []byte) (int, error) { return c.wire.write(c.Conn, p) }

// around returns k as a connection whose reads and writes w counts.
func (w *wire) around(k known) net.Conn {
	switch k := k.(type) {
	case *knownTCP:
		return countedTCP{k, w}
	case *knownUnix:
		return countedUnix{k, w}
	case *knownOther:
		return countedOther{k, w}
	}
	return k
}

func (w *wire) write(to net.Conn, p []byte) (n int, err error) {
	w.started.Add(1)
	defer w.ended.Add(1)
	w.writing.Lock()
	defer w.writing.Unlock()
	n, err = to.Write(p)
	w.frames.wrote(p[:n])
	return n, err
}

func (w *wire) count(n int, err error) (int, error) {
	if n > 0 {
		w.reads.Add(1)
	}
	return n, err
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

// bare is the connection as it came from the listener, for the user's code,
// which may know its type.
func bare(c net.Conn) net.Conn {
	if k, ok := c.(known); ok {
		return k.bare()
	}
	return c
}

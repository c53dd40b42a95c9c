package grpcserver

import (
	"net"

	"google.golang.org/grpc/mem"
)

// A readyReader is a connection that takes a buffer when there is something to
// read, and not before. gRPC looks for the method, and has no other way to do
// without a read buffer (32 KB by default) for each connection that is idle,
// unless the connection is one of package net's and nothing around it.
type readyReader interface {
	ReadOnReady(size int, pool mem.BufferPool) (b *[]byte, n int, err error)
}

func (c *conn) ReadOnReady(size int, pool mem.BufferPool) (b *[]byte, n int, err error) {
	b, n, err = readOnReady(c.Conn, size, pool)
	if n > 0 {
		c.listen((*b)[:n])
	}
	return b, n, err
}

func readOnReady(c net.Conn, size int, pool mem.BufferPool) (b *[]byte, n int, err error) {
	if r, ok := c.(readyReader); ok {
		return r.ReadOnReady(size, pool)
	}
	return readBlocking(c, size, pool) // crypto/tls
}

func readBlocking(c net.Conn, size int, pool mem.BufferPool) (b *[]byte, n int, err error) {
	b = pool.Get(size)
	if n, err = c.Read(*b); n == 0 {
		pool.Put(b)
		return nil, 0, err
	}
	return b, n, err
}

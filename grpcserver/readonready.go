package grpcserver

import (
	"net"

	"google.golang.org/grpc/mem"
)

// A readyReader is a connection that allocates the buffer for a read only when there is
// something to read. gRPC looks for this method. Otherwise it keeps a read buffer for each
// idle connection (32 KB by default), unless the connection is one of package net.
type readyReader interface {
	ReadOnReady(size int, pool mem.BufferPool) (b *[]byte, n int, err error)
}

func (c *conn) ReadOnReady(size int, pool mem.BufferPool) (b *[]byte, n int, err error) {
	b, n, err = readWhenReady(c.Conn, size, pool)
	if n > 0 {
		c.observe((*b)[:n])
	}
	return b, n, err
}

func readWhenReady(c net.Conn, size int, pool mem.BufferPool) (b *[]byte, n int, err error) {
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

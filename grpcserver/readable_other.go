//go:build !unix

package grpcserver

import (
	"net"

	"google.golang.org/grpc/mem"
)

// readable cannot look without reading here.
func readable(net.Conn) bool { return false }

func endIfSilent(c net.Conn) { _ = c.Close() }

type reading struct{}

// ReadOnReady has the buffer while it waits.
func (c *raw) ReadOnReady(size int, pool mem.BufferPool) (b *[]byte, n int, err error) {
	return readBlocking(c, size, pool)
}

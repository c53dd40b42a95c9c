//go:build !unix

package grpcserver

import "google.golang.org/grpc/mem"

type readOnReady struct{}

// ReadOnReady keeps the buffer while it waits.
func (c *raw) ReadOnReady(size int, pool mem.BufferPool) (b *[]byte, n int, err error) {
	return readBlocking(c, size, pool)
}

//go:build unix

package grpcserver

import (
	"io"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/mem"
)

// A readOnReady is a call of ReadOnReady. Each connection has one, so that a call does
// not allocate.
type readOnReady struct {
	size int
	pool mem.BufferPool
	buf  *[]byte
	n    int
	err  error
	try  func(fd uintptr) (done bool)
}

// ReadOnReady has a buffer only while it tries to read.
func (c *raw) ReadOnReady(size int, pool mem.BufferPool) (b *[]byte, n int, err error) {
	if c.socket == nil {
		return readBlocking(c, size, pool)
	}
	r := &c.onReady
	if r.try == nil {
		r.try = r.read
	}
	r.size, r.pool, r.buf, r.n, r.err = size, pool, nil, 0, nil
	err = c.socket.Read(r.try) // waits until try succeeds or the connection's deadline passes
	b, n = r.buf, r.n
	if err == nil {
		err = r.err
	}
	r.buf, r.pool = nil, nil
	if n == 0 && err == nil {
		err = io.EOF
	}
	if n <= 0 {
		return nil, 0, err
	}
	c.reads.Add(1)
	return b, n, nil
}

func (r *readOnReady) read(fd uintptr) (done bool) {
	b := r.pool.Get(r.size)
	for {
		r.n, r.err = unix.Read(int(fd), *b) //nolint:gosec // a file descriptor is an int
		if r.err != unix.EINTR {            //nolint:errorlint // unix.Read wraps nothing
			break
		}
	}
	if r.n > 0 {
		r.buf = b
		return true
	}
	r.pool.Put(b)
	return r.err != unix.EAGAIN //nolint:errorlint // unix.Read wraps nothing
}

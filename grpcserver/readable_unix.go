//go:build unix

package grpcserver

import (
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/mem"
)

// readable reports whether there is something to read from c that gRPC has not
// seen yet: bytes, or the end.
func readable(c net.Conn) (is bool) {
	control(c, func(fd int) { is = poll(fd, unix.POLLIN) })
	return is
}

// endIfSilent ends c in both directions unless it is readable. There is next to
// nothing between looking and ending; a Close would first wait for its turn.
// gRPC reads the end, and closes c.
func endIfSilent(c net.Conn) {
	if !control(c, func(fd int) {
		if !poll(fd, unix.POLLIN) {
			_ = unix.Shutdown(fd, unix.SHUT_RDWR) // an error means that the client has ended it
		}
	}) {
		_ = c.Close() // what matters is that it has gone
	}
}

// A reading is one ReadOnReady: kept in its connection, so that none is a heap
// allocation.
type reading struct {
	size int
	pool mem.BufferPool
	buf  *[]byte
	n    int
	err  error
	try  func(fd uintptr) (done bool)
}

// ReadOnReady takes a buffer for as long as it takes to look whether there is
// something to read.
func (c *raw) ReadOnReady(size int, pool mem.BufferPool) (b *[]byte, n int, err error) {
	if c.socket == nil {
		return readBlocking(c, size, pool)
	}
	r := &c.reading
	if r.try == nil {
		r.try = r.read
	}
	r.size, r.pool, r.buf, r.n, r.err = size, pool, nil, 0, nil
	err = c.socket.Read(r.try) // waits, and has the connection's deadline
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

func (r *reading) read(fd uintptr) (done bool) {
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

func poll(fd int, events int16) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 0) //nolint:gosec // a file descriptor is an int
	return err == nil && n > 0
}

// control calls f with the socket of c, and reports whether it has one.
func control(c net.Conn, f func(fd int)) bool {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) { f(int(fd)) }) // an error means that it is closed
	return true
}

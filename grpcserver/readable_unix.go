//go:build unix

package grpcserver

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
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

// writable reports whether a few bytes can be written to c at once, as far as
// one can see.
func writable(c net.Conn) (is bool) {
	is = true
	control(c, func(fd int) { is = poll(fd, unix.POLLOUT) })
	return is
}

// await waits until c is readable.
func (c *raw) await() error {
	if c.socket == nil {
		return nil
	}
	return c.socket.Read(arrived)
}

func arrived(fd uintptr) bool { return poll(int(fd), unix.POLLIN) }

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

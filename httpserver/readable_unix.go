//go:build unix

package httpserver

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// readable reports whether there is something to read from c that its
// goroutine has not seen yet: bytes, or the end.
func readable(c net.Conn) (is bool) {
	control(c, func(fd int) { is = ready(fd, unix.POLLIN) })
	return is
}

// writable reports whether c has room for more than a few bytes: Linux says so
// when a third of its buffer is free.
func writable(c net.Conn) (is bool) {
	control(c, func(fd int) { is = ready(fd, unix.POLLOUT) })
	return is
}

// endIfSilent ends c in both directions unless it is readable, or what was
// readable has been read, which still denies. There is next to nothing between
// looking and ending; a Close would first wait for its turn. Whoever reads from c
// sees the end, and closes it. What is no socket cannot be looked at, and is closed.
func endIfSilent(c net.Conn, still func() bool) {
	isSocket := control(c, func(fd int) {
		if !ready(fd, unix.POLLIN) && still() {
			_ = unix.Shutdown(fd, unix.SHUT_RDWR) // an error means that the client has ended it
		}
	})
	if !isSocket && still() {
		_ = c.Close()
	}
}

func ready(fd int, events int16) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 0) //nolint:gosec // a file descriptor is an int
	return err == nil && n > 0
}

// control calls f with the socket of c, and reports whether it has one that is
// open.
func control(c net.Conn, f func(fd int)) (isSocket bool) {
	for range 5 { // around each other
		if sc, ok := c.(syscall.Conn); ok {
			if raw, err := sc.SyscallConn(); err == nil {
				return raw.Control(func(fd uintptr) { f(int(fd)) }) == nil
			}
		}
		if c = below(c); c == nil {
			break
		}
	}
	return false
}

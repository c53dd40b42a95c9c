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

// endIfSilent ends c unless it is readable, or what was readable has been read,
// which still denies. There is next to nothing between looking and ending; a Close
// would first wait for its turn. Whoever reads from c sees the end, and closes it.
// TLS says good-bye then, so it can still be written to. What is no socket cannot
// be looked at, and is closed.
//
// It does not end c either while the client's kernel has not got all that was
// sent, unless it is told to: the kernel answers what comes on a connection that
// has been ended with a reset, and drops what is still to be sent. On HTTP/2 that
// is the end of an answer, and what comes is what the client says to get it
// (WINDOW_UPDATE). It returns how much is on its way.
func endIfSilent(c net.Conn, inTLS, anyway bool, still func() bool) (underWay int) {
	how := unix.SHUT_RDWR
	if inTLS {
		how = unix.SHUT_RD
	}
	isSocket := control(c, func(fd int) {
		underWay = unacknowledged(fd)
		if (underWay == 0 || anyway) && !ready(fd, unix.POLLIN) && still() {
			_ = unix.Shutdown(fd, how) // an error means that the client has ended it
		}
	})
	if !isSocket && still() {
		_ = c.Close()
	}
	return underWay
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

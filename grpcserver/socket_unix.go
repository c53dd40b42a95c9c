//go:build unix

package grpcserver

// This file is the same in httpserver and grpcserver: grpcserver is a module of its own,
// which cannot import internal packages of the root module. A test in
// internal/thirdparty compares the two.

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// readable reports whether a read from the socket of c would return at once, because
// bytes or the end of the stream have arrived. It is false if c has no open socket.
func readable(c net.Conn) (is bool) {
	control(c, func(fd int) { is = poll(fd, unix.POLLIN) })
	return is
}

// poll reports whether one of the events is pending on a file descriptor. It does not
// block.
func poll(fd int, events int16) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 0) //nolint:gosec // a file descriptor is an int
	return err == nil && n > 0
}

// control calls f with the socket of c. It reports false, and does not call f, if c has
// no open socket.
func control(c net.Conn, f func(fd int)) bool {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	return err == nil && raw.Control(func(fd uintptr) { f(int(fd)) }) == nil
}

//go:build unix

package httpserver

import (
	"net"

	"golang.org/x/sys/unix"
)

// writable reports whether a short write to c would not block. Linux says so when a
// third of the buffer is free.
func writable(c net.Conn) (is bool) {
	control(c, func(fd int) { is = poll(fd, unix.POLLOUT) })
	return is
}

// endIfSilent shuts c down, unless bytes have arrived. still reports false if bytes have
// arrived and been read since. Checking and shutting down are one step, whereas Close
// would first wait for a lock of the connection. The goroutine that reads from c sees the
// end and closes it. With TLS only reading is shut down, because closing writes an alert.
// A connection without a socket cannot be checked, and is closed.
//
// It does not shut c down either while the client has not acknowledged everything that
// was sent, unless anyway is true: the kernel would answer the client's next packet with
// a reset and discard what has not been sent. On HTTP/2, the end of a response may be
// unacknowledged, and the client's next packet is the WINDOW_UPDATE that it sends while
// it reads the response. endIfSilent returns the number of unacknowledged bytes.
func endIfSilent(c net.Conn, inTLS, anyway bool, still func() bool) (unacked int) {
	how := unix.SHUT_RDWR
	if inTLS {
		how = unix.SHUT_RD
	}
	isSocket := control(c, func(fd int) {
		unacked = unacknowledged(fd)
		if (unacked == 0 || anyway) && !poll(fd, unix.POLLIN) && still() {
			_ = unix.Shutdown(fd, how) // an error means that the client has ended it
		}
	})
	if !isSocket && still() {
		_ = c.Close()
	}
	return unacked
}

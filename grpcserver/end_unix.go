//go:build unix

package grpcserver

import (
	"net"

	"golang.org/x/sys/unix"
)

// endIfSilent shuts c down unless bytes have arrived. Checking and shutting down are one
// step, whereas Close would first wait for a lock of the connection. gRPC reads the end
// and closes c. A connection without a socket cannot be checked, and is closed.
func endIfSilent(c net.Conn) {
	if !control(c, func(fd int) {
		if !poll(fd, unix.POLLIN) {
			_ = unix.Shutdown(fd, unix.SHUT_RDWR) // an error means that the client has ended it
		}
	}) {
		_ = c.Close() // it may be closed already
	}
}

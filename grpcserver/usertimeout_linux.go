package grpcserver

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// userTimeout is how long data may stay unacknowledged. It is the value that gRPC sets by
// default on a *net.TCPConn, but not on a wrapper.
const userTimeout = 20 * time.Second

func setUserTimeout(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return // the connection is closed
	}
	_ = raw.Control(func(fd uintptr) { // gRPC would refuse the connection on an error, but it works without the option
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout/time.Millisecond))
	})
}

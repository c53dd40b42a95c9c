package grpcserver

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// userTimeout is how long data may stay unacknowledged: what gRPC sets by
// default, if the connection is a *net.TCPConn and nothing around it.
const userTimeout = 20 * time.Second

func setUserTimeout(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return // it is closed
	}
	_ = raw.Control(func(fd uintptr) { // gRPC would refuse the connection; it works without
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout/time.Millisecond))
	})
}

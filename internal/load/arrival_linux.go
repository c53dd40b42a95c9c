package load

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sinceArrival returns how long ago the kernel received the last data of a TCP connection,
// in milliseconds. The client's goroutine may read it much later.
func sinceArrival(c net.Conn) (since time.Duration, known bool) {
	conn, ok := c.(syscall.Conn)
	if !ok {
		return 0, false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, false
	}
	_ = raw.Control(func(fd uintptr) { // it fails if the connection has been closed
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			since, known = time.Duration(info.Last_data_recv)*time.Millisecond, true
		}
	})
	return since, known
}

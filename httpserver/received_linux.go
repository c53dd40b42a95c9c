package httpserver

import (
	"net"

	"golang.org/x/sys/unix"
)

// received returns how many bytes have come on c, and whether some of them are
// half a request: if c is new, they are, and else if the last of them has come
// after the last that was sent. In the few milliseconds after that it does not
// know.
func received(c net.Conn, isNew bool) (n uint64, half bool) {
	control(c, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil { // it is no TCP
			return
		}
		n = info.Bytes_received
		half = n > 0 && (isNew || info.Last_data_recv < info.Last_data_sent) // both are ages
	})
	return n, half
}

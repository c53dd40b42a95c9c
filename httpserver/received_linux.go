package httpserver

import (
	"net"

	"golang.org/x/sys/unix"
)

// received returns how many bytes have arrived on c, and whether the last of them are
// part of a request. On a new connection all bytes are. Otherwise they are if the last
// of them arrived after the last byte was sent, which the kernel knows to within a few
// milliseconds.
func received(c net.Conn, isNew bool) (n uint64, partial bool) {
	control(c, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil { // not TCP
			return
		}
		n = info.Bytes_received
		partial = n > 0 && (isNew || info.Last_data_recv < info.Last_data_sent) // both are ages
	})
	return n, partial
}

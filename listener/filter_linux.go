package listener

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// dropSYN makes the kernel discard every SYN for the socket, so that no new
// handshake begins. Those under way end as usual: what they still need is an
// ACK. It reports whether the kernel agreed; a sandbox may not.
func dropSYN(socket syscall.RawConn) (ok bool) {
	const flags, syn, ack = 13, 0x02, 0x10 // in the TCP header
	// A filter on a TCP socket sees the packet from the TCP header on, with IPv4
	// and IPv6 alike.
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: syn | ack},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syn, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
	}
	err := socket.Control(func(fd uintptr) {
		ok = nil == unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
	return ok && err == nil
}

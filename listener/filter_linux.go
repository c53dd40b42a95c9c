package listener

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// dropSYN makes the kernel discard every SYN for the socket, so that no new
// handshake begins. Those under way end as usual: what they still need is an
// ACK. It reports whether the kernel agreed; a sandbox may not.
//
// The exact tool is a packet filter. Since June 2026 (5d39580f68e6, also in the
// stable kernels) one on a TCP socket needs CAP_NET_ADMIN. Everyone may ask for a
// minimal TTL, and 255 is more than what clients send, who start with 64 or
// 128. The kernel compares it for packets to the listening socket, but not for
// those that belong to a handshake.
func dropSYN(fd int) bool { return attachFilter(fd) == nil || setMinTTL(fd, 255) == nil }

func stopSYN(socket syscall.RawConn) (ok bool) {
	err := socket.Control(func(fd uintptr) { ok = dropSYN(int(fd)) })
	return ok && err == nil
}

// undoDropSYN frees a connection from what it inherits if its handshake ended
// after dropSYN: the minimal TTL, because of which it hears nothing. What it has
// missed is sent again by the client.
func undoDropSYN(conn net.Conn) {
	if c, ok := conn.(syscall.Conn); ok {
		if socket, err := c.SyscallConn(); err == nil {
			_ = socket.Control(func(fd uintptr) { _ = setMinTTL(int(fd), 0) })
		}
	}
}

func attachFilter(fd int) error {
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
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
}

func setMinTTL(fd, ttl int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MINTTL, ttl); err != nil {
		return err
	}
	// A socket for both families needs both.
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil || domain != unix.AF_INET6 {
		return err
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MINHOPCOUNT, ttl)
}

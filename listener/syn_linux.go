package listener

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// dropSYN makes the kernel drop every SYN for the socket, so that no new handshake
// starts. Handshakes in progress need only an ACK and complete as usual. It reports
// whether the kernel allowed it; a sandbox may not.
//
// The exact tool is a packet filter. Since June 2026 (5d39580f68e6, also in the
// stable kernels) a filter on a TCP socket needs CAP_NET_ADMIN. The alternative is a
// minimum TTL, which needs no privilege: clients send with 64 or 128, which is less
// than 255. The kernel checks it for packets to the listening socket, but not for
// those that belong to a handshake.
func dropSYN(fd int) bool { return attachFilter(fd) == nil || setMinTTL(fd, 255) == nil }

func stopSYN(socket syscall.RawConn) (ok bool) {
	err := socket.Control(func(fd uintptr) { ok = dropSYN(int(fd)) })
	return ok && err == nil
}

// undoDropSYN removes the minimum TTL from a connection whose handshake completed
// after dropSYN. It has inherited that from the listener and receives no packets
// because of it. The client retransmits those that were dropped.
func undoDropSYN(conn net.Conn) {
	if c, ok := conn.(syscall.Conn); ok {
		if socket, err := c.SyscallConn(); err == nil {
			_ = socket.Control(func(fd uintptr) { _ = setMinTTL(int(fd), 0) })
		}
	}
}

func attachFilter(fd int) error {
	const flags, syn, ack = 13, 0x02, 0x10 // in the TCP header
	// A filter on a TCP socket sees the packet from the TCP header on, with both
	// IPv4 and IPv6.
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
	// A dual-stack socket needs both options.
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil || domain != unix.AF_INET6 {
		return err
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MINHOPCOUNT, ttl)
}

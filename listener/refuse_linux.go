package listener

import (
	"math"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stopNew keeps new handshakes from starting. Handshakes in progress need only an ACK
// and complete as usual. It reports whether the kernel does that; a sandbox may not. It
// takes some milliseconds.
func (l *Listener) stopNew() bool {
	var refused, dropped, shared bool
	err := l.socket.Control(func(fd uintptr) {
		shared = sharesPort(int(fd))
		if refused = refuseSYN(int(fd)); !refused {
			l.dropping.Store(true) // before a connection can inherit the minimum TTL
			dropped = dropSYN(int(fd))
		}
	})
	if err != nil || !refused && !dropped {
		return false
	}
	if refused && !shared { // otherwise clients would wait as well
		finishSYNs()
	}
	return true
}

// finishSYNs waits for SYNs for which a processor has found this listener before, and not
// begun the handshake yet. The system call waits until each processor has left that part of
// the kernel, which takes 4 to 30 ms. Where a sandbox forbids it, some milliseconds do,
// unless a hypervisor suspends the processor for longer.
func finishSYNs() {
	const membarrierGlobal = 1 // MEMBARRIER_CMD_GLOBAL, which x/sys/unix does not have
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0); errno != 0 {
		time.Sleep(pollInterval)
	}
}

// refuseSYN makes the kernel refuse every SYN at once, as it does for a closed port. It
// binds the socket to a network interface that does not exist. The kernel compares the
// interface when it looks for the listener of a SYN. A handshake in progress has been
// found before, and keeps the interface that it has. Since Linux 5.7 that needs no
// privilege, unless the socket is bound to an interface already.
func refuseSYN(fd int) bool {
	const none = math.MaxInt32 // interfaces are numbered from 1
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, none) != nil {
		return false
	}
	// gVisor reports success for an option that it does not know.
	bound, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX)
	return err == nil && bound == none
}

// sharesPort reports whether other sockets may listen on the port (SO_REUSEPORT). The kernel
// looks for one socket of the group that matches a SYN, and then chooses any of them. If it
// chooses one that refuses SYNs, it drops this one, because it has no route for the answer.
func sharesPort(fd int) bool {
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT)
	return err == nil && on != 0
}

// dropSYN makes the kernel drop every SYN for the socket. The client repeats it after 1 s.
//
// The exact tool is a packet filter. Since June 2026 (5d39580f68e6, also in the
// stable kernels) a filter on a TCP socket needs CAP_NET_ADMIN. The alternative is a
// minimum TTL, which needs no privilege: clients send with 64 or 128, which is less
// than 255. The kernel checks it for packets to the listening socket, but not for
// those that belong to a handshake.
func dropSYN(fd int) bool { return attachFilter(fd) == nil || setMinTTL(fd, 255) == nil }

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

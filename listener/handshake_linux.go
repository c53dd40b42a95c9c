package listener

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// From linux/inet_diag.h; x/sys/unix does not have them. Ports and addresses are
// in network byte order.
type (
	diagSocket struct {
		SourcePort, DestPort [2]byte
		Source, Dest         [16]byte
		Interface            uint32
		Cookie               [2]uint32
	}
	diagRequest struct {
		Family, Protocol, Ext, Pad uint8
		States                     uint32
		ID                         diagSocket
	}
	diagMessage struct {
		Family, State, Timer, Retransmits uint8
		ID                                diagSocket
		// more follows
	}
)

// handshakes returns how many handshakes are in progress between the kernel and clients
// of the listener at addr. It asks as ss(8) does, which needs no privilege. It is not ok
// if the kernel does not answer: a sandbox may forbid it, or all file descriptors are in
// use. In a SYN flood the kernel itself does not know (SYN cookies).
//
// The result may include handshakes of another listener on the same port, at another
// address of this host or with SO_REUSEPORT. Then Drain waits a little too long. A listener
// of another network namespace than that of the calling thread seems to have none.
func handshakes(addr net.Addr) (n int, ok bool) {
	local := addr.(*net.TCPAddr).AddrPort()
	ip := local.Addr().Unmap().WithZone("") // the kernel's answer has none
	ok = true
	// A socket for the unspecified address may be dual-stack.
	if !ip.Is6() || ip.IsUnspecified() {
		n, ok = handshakesOf(unix.AF_INET, ip, local.Port())
	}
	if !ip.Is4() || ip.IsUnspecified() {
		n6, ok6 := handshakesOf(unix.AF_INET6, ip, local.Port())
		n, ok = n+n6, ok && ok6
	}
	return n, ok
}

func handshakesOf(family uint8, ip netip.Addr, port uint16) (n int, ok bool) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, false
	}
	defer func() { _ = unix.Close(fd) }() // no data can be lost

	request := diagRequest{
		Family:   family,
		Protocol: unix.IPPROTO_TCP,
		// A handshake in progress is a request socket, which counts as SYN_RECV.
		// So does a connection that is not in the queue yet: there is no gap.
		States: 1 << unix.BPF_TCP_SYN_RECV,
	}
	binary.BigEndian.PutUint16(request.ID.SourcePort[:], port)
	header := unix.NlMsghdr{
		Len:   uint32(unix.SizeofNlMsghdr + binary.Size(request)),
		Type:  unix.SOCK_DIAG_BY_FAMILY,
		Flags: unix.NLM_F_REQUEST | unix.NLM_F_DUMP,
	}
	var b bytes.Buffer
	_ = binary.Write(&b, binary.NativeEndian, header) // to memory
	_ = binary.Write(&b, binary.NativeEndian, request)
	if err := unix.Sendto(fd, b.Bytes(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, false
	}
	answer := make([]byte, 32<<10)
	for {
		// The kernel answers while it handles the request: if no answer is there
		// now, none will come.
		length, _, err := unix.Recvfrom(fd, answer, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, false
		}
		messages, err := syscall.ParseNetlinkMessage(answer[:length])
		if err != nil || len(messages) == 0 {
			return 0, false
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.SOCK_DIAG_BY_FAMILY:
			case unix.NLMSG_DONE:
				return n, true
			default: // NLMSG_ERROR
				return 0, false
			}
			var one diagMessage
			if _, err := binary.Decode(m.Data, binary.NativeEndian, &one); err != nil {
				return 0, false
			}
			if ip.IsUnspecified() || ip == one.source() {
				n++
			}
		}
	}
}

func (m *diagMessage) source() netip.Addr {
	if m.Family == unix.AF_INET {
		return netip.AddrFrom4([4]byte(m.ID.Source[:4]))
	}
	return netip.AddrFrom16(m.ID.Source).Unmap()
}

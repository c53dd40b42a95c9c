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

// From linux/inet_diag.h; x/sys/unix does not have them. The ports and
// addresses are in network byte order.
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

// halfDone reports whether the kernel is in the middle of a handshake with a
// client of the listener at addr. It asks as ss(8) does, which everyone may. If
// it gets no answer, it knows of none; and in a SYN flood the kernel itself does
// not (SYN cookies).
//
// Others that listen on the same port, at another of our addresses or with
// SO_REUSEPORT, may be the ones meant; the price is a short wait for nothing.
func halfDone(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return false
	}
	local := tcp.AddrPort()
	ip := local.Addr().Unmap()
	// A socket for all addresses may be one for both families.
	return (!ip.Is6() || ip.IsUnspecified()) && anyHalfDone(unix.AF_INET, ip, local.Port()) ||
		(!ip.Is4() || ip.IsUnspecified()) && anyHalfDone(unix.AF_INET6, ip, local.Port())
}

func anyHalfDone(family uint8, ip netip.Addr, port uint16) bool {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written that could be lost

	request := diagRequest{
		Family:   family,
		Protocol: unix.IPPROTO_TCP,
		// Request sockets, which are what a handshake is, count as SYN_RECV. So
		// does a connection between the handshake and the queue: there is no gap.
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
		return false
	}
	answer := make([]byte, 32<<10)
	for {
		// The kernel answers while it is being asked: if nothing is there,
		// nothing will come.
		n, _, err := unix.Recvfrom(fd, answer, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return false
		}
		messages, err := syscall.ParseNetlinkMessage(answer[:n])
		if err != nil || len(messages) == 0 {
			return false
		}
		for _, m := range messages {
			if m.Header.Type != unix.SOCK_DIAG_BY_FAMILY { // NLMSG_DONE, NLMSG_ERROR
				return false
			}
			var found diagMessage
			if _, err := binary.Decode(m.Data, binary.NativeEndian, &found); err != nil {
				return false
			}
			if ip.IsUnspecified() || ip == found.source() {
				return true
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

package listener

import "golang.org/x/sys/unix"

// backlog returns the length of the accept queue of a TCP socket, and 0 for other
// sockets. gVisor always says 0, so use it in error messages only.
func backlog(fd int) int {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return int(info.Unacked)
}

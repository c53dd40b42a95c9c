package listener

import "golang.org/x/sys/unix"

// backlog counts the connections that wait to be accepted. For a socket that
// is not TCP it is 0. (gVisor says 0 always, so it is good for words only.)
func backlog(fd int) int {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return int(info.Unacked)
}

package httpserver

import "golang.org/x/sys/unix"

// unacknowledged returns how many bytes the kernel of the client has not acknowledged.
func unacknowledged(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

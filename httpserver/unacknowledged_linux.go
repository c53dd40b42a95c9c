package httpserver

import "golang.org/x/sys/unix"

// unacknowledged reports how many bytes the other end's kernel has not got.
func unacknowledged(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

//go:build unix

package listener

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// queued returns how many connections are in the socket's accept queue, at least.
// ok is false if that cannot be known.
func queued(socket syscall.RawConn) (n int, ok bool) {
	if socket == nil {
		return 0, false
	}
	err := socket.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			ready, err := unix.Poll(fds, 0)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			ok = err == nil
			if ready > 0 && fds[0].Revents&unix.POLLIN != 0 {
				n = max(1, backlog(int(fd)))
			}
			return
		}
	})
	if err != nil {
		return 0, true // a closed socket has no queue
	}
	return n, ok
}

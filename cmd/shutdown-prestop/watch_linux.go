package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// A watched process. fd is its pidfd, or -1 if the kernel has none (before 5.3) or a
// sandbox refuses it.
type watched struct{ pid, fd int }

func watch(pid int) watched {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil { // also ESRCH, which Kill returns as well
		fd = -1
	}
	return watched{pid, fd}
}

// await returns when the process has exited, even if it has not been reaped, or when
// wait has passed.
func (w watched) await(wait time.Duration) error {
	if w.fd < 0 {
		poll(w.pid, wait)
		return nil
	}
	fds := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}} //nolint:gosec // a file descriptor is small
	for end := time.Now().Add(wait); ; {
		left := max(0, time.Until(end)) + time.Millisecond - 1 // rounded up, so that the last wait is not zero
		_, err := unix.Poll(fds, int(left.Milliseconds()))
		switch err {
		case unix.EINTR:
		case nil:
			return nil
		default:
			return fmt.Errorf("wait for the end of pid %d: %w", w.pid, err)
		}
	}
}

func (w watched) close() {
	if w.fd >= 0 {
		_ = unix.Close(w.fd) // shutdown-prestop is about to exit
	}
}

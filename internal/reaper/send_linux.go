package reaper

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// send sends sig to m, and not to another process that has got its PID since. It
// returns nil if the process has exited.
//
// A child of this process keeps its PID until it is reaped, by the goroutine that
// calls send, so kill is safe. For other processes a pidfd is used. It is that of m if
// m still exists after it was opened: then m existed all the time.
func send(m member, sig unix.Signal) error {
	var err error
	if m.parent == unix.Getpid() {
		err = unix.Kill(m.pid, sig)
	} else {
		err = sendHeld(m, sig)
	}
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

func sendHeld(m member, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(m.pid, 0)
	if err == nil {
		defer unix.Close(fd) //nolint:errcheck // nothing was written
	}
	noPidfd := errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) // before Linux 5.3, or an old seccomp filter
	if err != nil && !noPidfd {
		return err
	}
	var buf [1024]byte
	if still, ok := readStat(strconv.Itoa(m.pid), buf[:]); !ok || still.start != m.start {
		return unix.ESRCH
	}
	if noPidfd {
		return unix.Kill(m.pid, sig)
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// sendGroup sends sig to the leader's process group, and returns the group. It
// returns 0 if the leader did not create the group, or has been reaped, so that
// another process may have its ID. One call reaches all processes of the group, and
// the kernel does not let a fork escape it: a fork in progress is restarted after
// the signal.
func (r *Reaper) sendGroup(sig unix.Signal) (group int) {
	if r.leader == 0 {
		return 0
	}
	if group, err := unix.Getpgid(r.leader); err != nil || group != r.leader {
		return 0
	}
	if unix.Kill(-r.leader, sig) != nil {
		return 0
	}
	return r.leader
}

// note records whether m could be signalled, and returns it.
func (r *Reaper) note(m member, err error) bool {
	if err == nil {
		delete(r.refused, m.identity())
		return true
	}
	errno := unix.EINVAL
	_ = errors.As(err, &errno)
	r.refused[m.identity()] = errno
	return false
}

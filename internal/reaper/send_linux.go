package reaper

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// send sends sig to the process that m was read from, and to no other that has
// got its pid since. A process that has ended is no error.
//
// A child of ours keeps its pid until it is reaped, and the goroutine that reaps
// is the one that calls this: kill cannot miss. Anybody else is held by a pidfd.
// That it is a pidfd of the right process is known if m is still there after it
// was opened: then it was there all the time.
func send(m Member, sig unix.Signal) error {
	var err error
	if m.Parent == unix.Getpid() {
		err = unix.Kill(m.Pid, sig)
	} else {
		err = sendHeld(m, sig)
	}
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

func sendHeld(m Member, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(m.Pid, 0)
	if err == nil {
		defer unix.Close(fd) //nolint:errcheck // nothing was written
	}
	noPidfd := errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) // before Linux 5.3, or a seccomp filter of that age
	if err != nil && !noPidfd {
		return err
	}
	var buf [1024]byte
	if still, ok := readStat(strconv.Itoa(m.Pid), buf[:]); !ok || still.Start != m.Start {
		return unix.ESRCH
	}
	if noPidfd {
		return unix.Kill(m.Pid, sig)
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// sendGroup sends sig to the leader's process group, if the leader made it and
// has not been reaped, so that the number is its own; group is 0 if not. One call
// reaches all who are in it, and the kernel sees to it that none of them forks
// a child that it would not have reached: a fork under way begins anew after the
// signal.
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

// note records whether m could be signalled, and says so.
func (r *Reaper) note(m Member, err error) bool {
	if err == nil {
		delete(r.refused, m.identity())
		return true
	}
	errno := unix.EINVAL
	_ = errors.As(err, &errno)
	r.refused[m.identity()] = errno
	return false
}

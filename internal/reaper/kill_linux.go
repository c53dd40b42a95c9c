package reaper

import (
	"time"

	"golang.org/x/sys/unix"
)

func (r *Reaper) kill() {
	if r.phase == Killed && !r.gaveUp {
		return
	}
	if r.phase == Running {
		r.nextWaiting = time.Now().Add(time.Second)
	}
	r.phase, r.gaveUp, r.refusedSince = Killed, false, time.Time{}
	r.deadline, r.lastDeadline = time.Now().Add(killBound), time.Now().Add(findBound)
	members := r.members()
	killing := Event{Kind: Killing, Count: len(members), Processes: r.describe(members, fewProcesses)} // before they exit, as zombies have no command line
	if group := r.sendGroup(unix.SIGKILL); group != 0 {
		for _, m := range members {
			if m.group == group {
				r.killed[m.identity()] = true
			}
		}
	}
	if len(members) > 0 {
		r.report(killing)
	}
	r.passAt(time.Now())
}

// killPass kills the children of this process and stops (SIGSTOP) all deeper members,
// so that it also ends a tree that forks faster than it can be killed. When it finds
// no new member to stop, none can fork any more, and all are killed. It reports
// whether it found a member that had not been sent SIGKILL before.
func (r *Reaper) killPass(members []member) (found bool) {
	self := unix.Getpid()
	for _, m := range members {
		found = found || !r.killed[m.identity()] && r.refused[m.identity()] == 0
		if m.parent == self {
			r.killOne(m)
		}
	}
	quiet := true
	for _, m := range members {
		if m.parent != self && !r.frozen[m.identity()] {
			quiet = quiet && m.state == 'T'
			r.frozen[m.identity()] = true
			r.note(m, send(m, unix.SIGSTOP))
		}
	}
	if !quiet {
		r.passAt(time.Now())
		return found
	}
	for _, m := range members {
		if m.parent != self {
			r.killOne(m)
		}
	}
	return found
}

func (r *Reaper) killOne(m member) {
	if r.note(m, send(m, unix.SIGKILL)) {
		r.killed[m.identity()] = true
	}
}

// giveUpIfHopeless gives up if only members are left that may not be signalled, or
// the time is up. members is the result of a pass that began at began.
func (r *Reaper) giveUpIfHopeless(members []member, began time.Time) {
	if r.gaveUp {
		return
	}
	hopeless := len(members) > 0
	for _, m := range members {
		hopeless = hopeless && r.refused[m.identity()] != 0
	}
	switch {
	case !hopeless:
		r.refusedSince = time.Time{}
	case r.refusedSince.IsZero():
		r.refusedSince = r.lastPass
	}
	tooLong := !r.refusedSince.IsZero() && r.lastPass.Sub(r.refusedSince) >= refusedBound
	if tooLong || !began.Before(r.deadline) {
		r.gaveUp = true
		r.report(Event{Kind: GaveUp, Count: len(members), Processes: r.describe(members, manyProcesses)})
	}
}

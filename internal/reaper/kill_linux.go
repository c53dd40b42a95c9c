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
	killing := Event{Kind: Killing, Count: len(members), Processes: r.inWords(members, fewProcesses)} // the dead have no command
	if group := r.sendGroup(unix.SIGKILL); group != 0 {
		for _, m := range members {
			if m.Group == group {
				r.killed[m.identity()] = true
			}
		}
	}
	if len(members) > 0 {
		r.report(killing)
	}
	r.passAt(time.Now())
}

// killPass kills our own children and stops everybody deeper, so that there is
// an end to what forks faster than it can be killed. Once it finds nobody new to
// stop, nobody can fork, and all can be killed. It says whether it has found
// somebody who had not been sent SIGKILL before.
func (r *Reaper) killPass(members []Member) (found bool) {
	self := unix.Getpid()
	for _, m := range members {
		found = found || !r.killed[m.identity()] && r.refused[m.identity()] == 0
		if m.Parent == self {
			r.killOne(m)
		}
	}
	quiet := true
	for _, m := range members {
		if m.Parent != self && !r.frozen[m.identity()] {
			quiet = quiet && m.State == 'T'
			r.frozen[m.identity()] = true
			r.note(m, send(m, unix.SIGSTOP))
		}
	}
	if !quiet {
		r.passAt(time.Now())
		return found
	}
	for _, m := range members {
		if m.Parent != self {
			r.killOne(m)
		}
	}
	return found
}

func (r *Reaper) killOne(m Member) {
	if r.note(m, send(m, unix.SIGKILL)) {
		r.killed[m.identity()] = true
	}
}

// giveUpIfHopeless is for what a look that began then has found.
func (r *Reaper) giveUpIfHopeless(members []Member, began time.Time) {
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
		r.report(Event{Kind: GaveUp, Count: len(members), Processes: r.inWords(members, manyProcesses)})
	}
}

package reaper

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// secondLook is the time from the first pass to the second, which finds the
	// processes that were forked during the first.
	secondLook = 20 * time.Millisecond
	// killBound is the time that members have to exit after SIGKILL. One that needs
	// longer is blocked in the kernel by a device, or may not be killed.
	killBound = 5 * time.Second
	// findBound is the time in which newly found members extend killBound: a busy
	// machine may not look at all of them within it.
	findBound = 2 * killBound
	// refusedBound is the time after which the Reaper gives up when only members are
	// left that it may not signal.
	refusedBound = 300 * time.Millisecond
	// killPause is the longest time between two passes that kill.
	killPause = 50 * time.Millisecond
)

// members returns the descendants of this process that are alive.
func (r *Reaper) members() []member {
	all, _ := descendants(unix.Getpid()) // without /proc there are none, until killBound has passed
	var unseen []member
	if r.procHides {
		unseen = hidden(all)
	}
	alive := all[:0]
	if r.leader != 0 {
		r.ended = make(map[int]bool)
	}
	for _, m := range all {
		switch {
		case m.alive():
			alive = append(alive, m)
		case r.leader != 0:
			r.ended[m.pid] = true
		}
	}
	return append(alive, unseen...)
}

// pass looks at all members and signals or kills them, depending on the phase.
func (r *Reaper) pass(waiting bool) {
	began := time.Now()
	if late := began.Sub(r.nextPass); r.phase == Killed && !r.nextPass.IsZero() && late > time.Second {
		// This process was not scheduled, so its members may not have been either.
		r.deadline, r.lastDeadline = r.deadline.Add(late), r.lastDeadline.Add(late)
	}
	r.nextPass = time.Time{}
	members := r.members()
	postponed, found := false, false
	if r.phase == Stopping {
		postponed = r.signalPass(members)
	} else {
		found = r.killPass(members)
	}
	r.lastPass = time.Now()
	r.passTook = r.lastPass.Sub(began)
	if postponed {
		r.passSoon()
	}
	if r.phase == Killed {
		if found {
			r.deadline = r.lastPass.Add(killBound)
		}
		if r.deadline.After(r.lastDeadline) {
			r.deadline = r.lastDeadline
		}
		r.giveUpIfHopeless(members, began)
		pause := killPause
		if r.gaveUp {
			pause = time.Second
		}
		r.passAt(r.lastPass.Add(pause))
	}
	if waiting {
		r.nextWaiting = r.lastPass.Add(time.Second)
		if len(members) > 0 && !r.gaveUp {
			r.report(Event{Kind: Waiting, Count: len(members), Processes: r.describe(members, fewProcesses)})
		}
	}
}

// passSoon schedules a pass so that passes take no more than a fifth of the time:
// with 1,000 members each takes 10 ms of processor time, which members need to exit.
func (r *Reaper) passSoon() { r.passAt(r.lastPass.Add(max(10*time.Millisecond, 4*r.passTook))) }

func (r *Reaper) passAt(at time.Time) {
	if r.nextPass.IsZero() || at.Before(r.nextPass) {
		r.nextPass = at
	}
}

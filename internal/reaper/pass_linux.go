package reaper

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// secondLook is for those who were forked while the first pass was under
	// way.
	secondLook = 20 * time.Millisecond
	// killBound is how long members may take to die of SIGKILL. What takes
	// longer is in the hands of a device, or not ours to kill.
	killBound = 5 * time.Second
	// findBound is until when that time begins anew with whoever is found: a machine
	// may be too busy to look at all of them in killBound.
	findBound = 2 * killBound
	// refusedBound is how long nobody may be left but those who refuse.
	refusedBound = 300 * time.Millisecond
	// killPause is the longest time between two passes that kill.
	killPause = 50 * time.Millisecond
)

// members are those alive.
func (r *Reaper) members() []Member {
	all, _ := Below(unix.Getpid()) // no /proc, nobody to be seen: killBound is for that too
	var unseen []Member
	if r.procHides {
		unseen = hidden(all)
	}
	alive := all[:0]
	for _, m := range all {
		if m.alive() {
			alive = append(alive, m)
		}
	}
	return append(alive, unseen...)
}

// pass looks at all members and does to them what the phase asks for.
func (r *Reaper) pass(waiting bool) {
	began := time.Now()
	if late := began.Sub(r.nextPass); r.phase == Killed && !r.nextPass.IsZero() && late > time.Second {
		// We did not run, so those who are to die may not have run either.
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
	r.result.Left = max(1, len(members))
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
			r.report(Event{Kind: Waiting, Count: len(members), Processes: r.inWords(members, fewProcesses)})
		}
	}
}

// passSoon asks for another pass, but spends no more than a fifth of the time in
// passes: with 1,000 members each takes some 10 ms, which those need who end.
func (r *Reaper) passSoon() { r.passAt(r.lastPass.Add(max(10*time.Millisecond, 4*r.passTook))) }

func (r *Reaper) passAt(at time.Time) {
	if r.nextPass.IsZero() || at.Before(r.nextPass) {
		r.nextPass = at
	}
}

package reaper

import (
	"errors"
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

func (r *Reaper) stop(sig unix.Signal, grace time.Duration, leaderOnly bool) {
	deadline := time.Now().Add(grace)
	if r.phase != Running {
		if r.phase == Stopping && deadline.Before(r.deadline) {
			r.deadline = deadline
		}
		return
	}
	r.phase, r.signal, r.deadline, r.leaderOnly = Stopping, sig, deadline, leaderOnly
	r.nextWaiting = time.Now().Add(time.Second)
	r.pass(false)
	r.passAt(time.Now().Add(secondLook))
}

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

// signalPass sends the signal to those who are to have it, parents first: one
// that starts its child again when that ends has been told by then. It says
// whether there is somebody who ought to have it, but cannot have it yet.
func (r *Reaper) signalPass(members []Member) (postponed bool) {
	onlyLeader := r.leaderOnly && r.leader != 0
	first := !r.toldAll && !onlyLeader
	newborn := r.newborn(members) // before the group has the signal
	if first {
		r.toldAll = true
		r.group, r.groupAt = r.sendGroup(r.signal), now()
	}
	var refused []Member
	sent := 0
	for _, m := range members {
		switch {
		case onlyLeader && m.Pid != r.leader:
			continue
		case !r.isDue(m, first):
			// It was stopped when the signal came, after the picture was taken.
			if _, had := r.signalled[m.identity()]; had && m.State == 'T' && m.pends(r.signal) {
				r.note(m, send(m, unix.SIGCONT))
			}
			postponed = postponed || r.owed[m.identity()] && newborn[m.Pid]
			continue
		case first && r.inGroup(m) && newborn[m.Pid]: // it may have lost what the group got
			r.told, postponed = true, true
			r.owed[m.identity()] = true
			sent++
		case first && r.inGroup(m):
			sent++
			r.had(m, r.groupAt)
			r.byGroup[m.identity()] = true
		case newborn[m.Pid]:
			postponed = true
			r.owed[m.identity()] = true
			continue
		default:
			at := now()
			if r.note(m, send(m, r.signal)) {
				sent++
			} else {
				refused = append(refused, m)
			}
			r.had(m, at)
			delete(r.byGroup, m.identity())
		}
		if m.State == 'T' {
			r.note(m, send(m, unix.SIGCONT)) // else it would get the signal when somebody continues it
		}
	}
	if sent+len(refused) > 0 {
		r.report(Event{Kind: Signalled, Signal: r.signal, Count: sent, Processes: r.inWords(refused, fewProcesses)})
	}
	return postponed
}

// newborn has the pids of those who would lose the signal now. Towards the end of
// the grace period nobody is: better twice than never.
func (r *Reaper) newborn(members []Member) map[int]bool {
	pids := make(map[int]bool)
	if !r.showsCaught || time.Until(r.deadline) < newbornBound {
		return pids
	}
	for _, m := range members {
		if m.isNewborn(r.signal) {
			pids[m.Pid] = true
		}
	}
	return pids
}

func (r *Reaper) had(m Member, at uint64) {
	delete(r.owed, m.identity())
	r.told = true
	r.signalled[m.identity()], r.signalledPid[m.Pid] = at, at
}

// inGroup says whether m was reached through its group.
func (r *Reaper) inGroup(m Member) bool {
	return r.group != 0 && m.Group == r.group && m.Start <= r.groupAt
}

// isDue says whether m is to have the signal now. Everybody gets it once: what a
// trap handler starts in order to clean up must not get it. So after the first
// pass it is for those only who have lost their parent, and for those who were
// there before their parent had it, but not in the picture that the first pass
// took.
func (r *Reaper) isDue(m Member, first bool) bool {
	if _, had := r.signalled[m.identity()]; had {
		// Unless it had left the group (setsid) by the time that the group got
		// it; else it would be gone, or have a handler that makes sessions.
		return r.byGroup[m.identity()] && m.Group != r.group
	}
	if first {
		return true
	}
	if r.owed[m.identity()] {
		// In the group it has had the signal. Had it lost nothing, it would be gone,
		// or still have a handler.
		return !r.inGroup(m) || !m.handles(r.signal)
	}
	orphan := m.Parent == unix.Getpid()
	if r.inGroup(m) {
		// Forked at that very moment, before or after. If its parent is gone and
		// it has no handler, after: the signal would have ended it.
		return orphan && r.showsCaught && !m.handles(r.signal)
	}
	if orphan {
		return true
	}
	parentHad, had := r.signalledPid[m.Parent]
	return had && m.Start < parentHad
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

// forward sends sig once to whoever is there now.
func (r *Reaper) forward(sig unix.Signal, leaderOnly bool) {
	var refused []Member
	sent := 0
	for _, m := range r.members() {
		if leaderOnly && m.Pid != r.leader {
			continue
		}
		if r.note(m, send(m, sig)) {
			sent++
		} else {
			refused = append(refused, m)
		}
	}
	r.report(Event{Kind: Signalled, Signal: sig, Count: sent, Processes: r.inWords(refused, fewProcesses)})
}

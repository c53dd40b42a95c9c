package reaper

import (
	"time"

	"golang.org/x/sys/unix"
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

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

// signalPass sends the signal to the members that are due, parents first: a parent
// that would restart a child has the signal before its child exits. It reports
// whether a member is due, but cannot get the signal yet.
func (r *Reaper) signalPass(members []member) (postponed bool) {
	onlyLeader := r.leaderOnly && r.leader != 0
	first := !r.toldAll && !onlyLeader
	newborn := r.newborn(members) // before the group gets the signal
	if first {
		r.toldAll = true
		r.group, r.groupAt = r.sendGroup(r.signal), now()
	}
	var refused []member
	sent := 0
	for _, m := range members {
		switch {
		case onlyLeader && m.pid != r.leader:
			continue
		case !r.isDue(m, first):
			// The member was stopped after members was read and before the signal.
			if _, had := r.signalled[m.identity()]; had && m.state == 'T' && m.pends(r.signal) {
				r.note(m, send(m, unix.SIGCONT))
			}
			postponed = postponed || r.owed[m.identity()] && newborn[m.pid]
			continue
		case first && r.inGroup(m) && newborn[m.pid]: // it may have lost the group's signal
			r.told, postponed = true, true
			r.owed[m.identity()] = true
			sent++
		case first && r.inGroup(m):
			sent++
			r.had(m, r.groupAt)
			r.byGroup[m.identity()] = true
		case newborn[m.pid]:
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
		if m.state == 'T' {
			r.note(m, send(m, unix.SIGCONT)) // a stopped process gets the signal only when it is continued
		}
	}
	if sent+len(refused) > 0 {
		r.report(Event{Kind: Signalled, Signal: r.signal, Count: sent, Processes: r.describe(refused, fewProcesses)})
	}
	return postponed
}

// newborn returns the PIDs of the members that would lose the signal now. Towards the
// end of the grace period it returns none: a signal that may be lost is better than
// none.
func (r *Reaper) newborn(members []member) map[int]bool {
	pids := make(map[int]bool)
	if !r.showsCaught || time.Until(r.deadline) < newbornBound {
		return pids
	}
	for _, m := range members {
		if m.isNewborn(r.signal) {
			pids[m.pid] = true
		}
	}
	return pids
}

// had records that m got the signal.
func (r *Reaper) had(m member, at uint64) {
	delete(r.owed, m.identity())
	r.told = true
	r.signalled[m.identity()], r.signalledPid[m.pid] = at, at
}

// inGroup reports whether m got the signal through its process group.
func (r *Reaper) inGroup(m member) bool {
	return r.group != 0 && m.group == r.group && m.start <= r.groupAt
}

// isDue reports whether m is to get the signal now. Each member gets it once, and the
// processes that a trap handler starts to clean up must not get it. So after the
// first pass only these get it: orphans, and processes that were forked before
// their parent got it but are missing in the list of the first pass.
func (r *Reaper) isDue(m member, first bool) bool {
	if _, had := r.signalled[m.identity()]; had {
		// The exception is one that had left the group (setsid) before the group got
		// it. Another member that has left the group has a handler and goes on.
		return r.byGroup[m.identity()] && m.group != r.group
	}
	if first {
		return true
	}
	if r.owed[m.identity()] {
		// A member of the group got it as a newborn. If the signal was not lost, the
		// member has exited or still has a handler.
		return !r.inGroup(m) || !m.handles(r.signal)
	}
	orphan := m.parent == unix.Getpid()
	if r.inGroup(m) {
		// It was forked at that moment, before the signal or after. An orphan without a
		// handler was forked after it: the signal would have ended it.
		return orphan && r.showsCaught && !m.handles(r.signal)
	}
	if orphan {
		return true
	}
	parentHad, had := r.signalledPid[m.parent]
	return had && m.start < parentHad
}

// forward sends sig once, to the present members.
func (r *Reaper) forward(sig unix.Signal, leaderOnly bool) {
	var refused []member
	sent := 0
	for _, m := range r.members() {
		if leaderOnly && m.pid != r.leader {
			continue
		}
		if r.note(m, send(m, sig)) {
			sent++
		} else {
			refused = append(refused, m)
		}
	}
	r.report(Event{Kind: Signalled, Signal: sig, Count: sent, Processes: r.describe(refused, fewProcesses)})
}

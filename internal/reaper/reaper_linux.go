package reaper

import (
	"errors"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Phase is the state of a stop.
type Phase int

// A Reaper goes through the phases in this order.
const (
	Running Phase = iota
	Stopping
	Killed
)

// A Result describes the end of the leader and of its descendants.
type Result struct {
	Status unix.WaitStatus // the leader's, if LeaderEnded
	Phase  Phase           // Killed if a member was alive when SIGKILL was sent
	Killed int             // how many were

	LeaderEnded bool

	// Outlived has the statuses of the members that were reaped after the leader, in that
	// order, and each once. It omits those that are known to have ended before it.
	Outlived []unix.WaitStatus
}

// A Reaper reaps all children of this process, and stops its descendants, the
// members. Its methods may be called from any goroutine and return at once; Run does
// the work. Because one goroutine both reaps and signals, a child's PID cannot be
// reused between the moment it is looked up and the signal.
type Reaper struct {
	leader int
	report func(Event)

	command func(member) string // member.commandLine, which may block
	naming  chan struct{}       // full while a goroutine calls command

	mu    sync.Mutex // protects queue
	queue []func()
	wake  chan struct{} // wakes Run to look at queue

	// Only Run uses the fields below.
	phase        Phase
	result       Result
	ended        map[int]bool // the members that had ended at the last look before the leader's end
	leaderOnly   bool
	toldAll      bool // the first pass over all members has been made
	told         bool // a member has been sent the signal
	signal       unix.Signal
	deadline     time.Time // Stopping: the end of the grace period. Killed: the time to give up
	lastDeadline time.Time // Killed: deadline is not moved beyond it
	nextPass     time.Time // zero: none is scheduled
	lastPass     time.Time
	passTook     time.Duration
	nextWaiting  time.Time
	gaveUp       bool
	quit         bool // Run returns when it has given up
	procHides    bool // /proc may not show all members
	showsCaught  bool // /proc shows which signals are caught

	group        int // the leader's group, if the signal was sent to it, at groupAt
	groupAt      uint64
	signalled    map[identity]uint64 // the time at which it got the signal, in the unit of member.start
	byGroup      map[identity]bool   // it got the signal through the group, if it was in it
	owed         map[identity]bool   // it was a newborn, and may have lost the signal
	signalledPid map[int]uint64      // signalled by PID, to look up a child's parent
	frozen       map[identity]bool
	killed       map[identity]bool
	refused      map[identity]unix.Errno
	refusedSince time.Time // since then only members are left that may not be signalled
}

// New returns a Reaper for the children of this process. leader is the child whose
// status is wanted. report is called on Run's goroutine and must not block.
func New(leader int, report func(Event)) *Reaper {
	return &Reaper{
		leader: leader, report: report, wake: make(chan struct{}, 1),
		command: member.commandLine, naming: make(chan struct{}, 1),
		signalled: make(map[identity]uint64), signalledPid: make(map[int]uint64),
		byGroup: make(map[identity]bool), owed: make(map[identity]bool),
		frozen: make(map[identity]bool), killed: make(map[identity]bool),
		refused: make(map[identity]unix.Errno),
	}
}

// Forward sends sig to every member, or to the leader alone.
func (r *Reaper) Forward(sig unix.Signal, leaderOnly bool) {
	r.do(func() { r.forward(sig, leaderOnly) })
}

// Stop sends sig to every member once, also to those that become orphans later, and
// kills the members that are left after grace. A process that was just forked gets
// sig when it has its own signal handlers. With leaderOnly the other members get it
// when the leader has exited. A second call can shorten grace, and has no other
// effect.
func (r *Reaper) Stop(sig unix.Signal, grace time.Duration, leaderOnly bool) {
	r.do(func() { r.stop(sig, grace, leaderOnly) })
}

// Kill kills all members, without a grace period or before its end.
func (r *Reaper) Kill() { r.do(r.kill) }

// Quit makes Run return when it has given up. Without it Run then tries to kill once
// a second, and returns when the last member has exited.
func (r *Reaper) Quit() {
	r.do(func() { r.quit = true })
}

func (r *Reaper) do(f func()) {
	r.mu.Lock()
	r.queue = append(r.queue, f)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run reaps and signals until this process has no children left.
func (r *Reaper) Run() Result {
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	defer signal.Stop(children)
	timer := time.NewTimer(0)
	defer timer.Stop()
	r.procHides, r.showsCaught = procHides(), showsCaught()
	for {
		r.mu.Lock()
		queue := r.queue
		r.queue = nil
		r.mu.Unlock()
		for _, f := range queue {
			f()
		}
		if left := r.reap(); !left || r.gaveUp && r.quit {
			r.result.Killed = len(r.killed)
			switch {
			case r.phase == Killed && len(r.killed) > 0:
				r.result.Phase = Killed
			case r.told:
				r.result.Phase = Stopping
			}
			return r.result
		}
		timer.Reset(r.work())
		select {
		case <-children:
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// reap reaps all children that have exited, and reports whether others are left.
func (r *Reaper) reap() (left bool) {
	reaped, leaderEnded := 0, false
	running := r.phase == Running
	defer func() {
		if leaderEnded {
			members := r.members()
			r.report(Event{Kind: LeaderEnded, Status: r.result.Status, Count: len(members), Processes: r.describe(members, fewProcesses)})
		}
	}()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil: // ECHILD
			return false
		case pid == 0:
			if reaped > 0 && r.phase != Running { // there may be new orphans
				r.passSoon()
			}
			return true
		}
		reaped++
		hidden := identity{pid: pid} // without a start time, it is not distinct from the next process with this PID
		delete(r.signalled, hidden)
		delete(r.byGroup, hidden)
		delete(r.refused, hidden)
		switch {
		case pid == r.leader:
			r.leader, leaderEnded = 0, true // the PID may be reused
			r.result.LeaderEnded, r.result.Status = true, status
		case !r.result.LeaderEnded, slices.Contains(r.result.Outlived, status):
		case r.ended[pid], leaderEnded && running:
			// The leader has not reaped it. During a stop the last look was a moment ago,
			// so what is not known to have ended before the leader is taken to have
			// outlived it. Before a stop nobody has looked.
		default:
			r.result.Outlived = append(r.result.Outlived, status)
		}
	}
}

// work does what is due and returns the time until the next work.
func (r *Reaper) work() time.Duration {
	const never = time.Hour
	if r.phase == Running {
		return never
	}
	now := time.Now()
	if r.phase == Stopping && !now.Before(r.deadline) {
		r.kill()
	}
	waiting := !now.Before(r.nextWaiting)
	if waiting || !r.nextPass.IsZero() && !now.Before(r.nextPass) {
		r.pass(waiting)
		now = time.Now()
	}
	next := r.nextWaiting
	if r.phase == Stopping && r.deadline.Before(next) {
		next = r.deadline
	}
	if !r.nextPass.IsZero() && r.nextPass.Before(next) {
		next = r.nextPass
	}
	return max(0, next.Sub(now))
}

package reaper

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Phase is how far the end of the processes has got.
type Phase int

// A Reaper goes through them in this order, and never back.
const (
	Running Phase = iota
	Stopping
	Killed
)

// Result is what was seen by the time that no process was left.
type Result struct {
	Status unix.WaitStatus // the leader's, if LeaderEnded
	Phase  Phase           // what it took: Killed, if somebody was alive when SIGKILL came
	Killed int             // so many were
	Left   int             // so many are alive: Run gave up

	LeaderEnded bool
}

// A Reaper reaps every child of this process, and ends them when told to. Its
// methods may be called from any goroutine, and return at once; Run does the
// work. Since everything happens on Run's goroutine, no pid can be reaped, and
// so given to somebody else, between being looked up and being signalled.
type Reaper struct {
	leader int
	report func(Event)

	command func(Member) string // Member.Command, which may block
	naming  chan struct{}       // full while somebody is in it

	mu    sync.Mutex // protects queue
	queue []func()
	wake  chan struct{} // something is in queue

	// What follows is Run's alone.
	phase        Phase
	result       Result
	leaderOnly   bool
	toldAll      bool // the first pass over all members has been made
	told         bool // somebody has been sent the signal
	signal       unix.Signal
	deadline     time.Time // Stopping: the end of the grace period. Killed: when to give up
	lastDeadline time.Time // Killed: it is not moved beyond that
	nextPass     time.Time // zero: none is due
	lastPass     time.Time
	passTook     time.Duration
	nextWaiting  time.Time
	gaveUp       bool
	quit         bool // Run returns when it has given up
	procHides    bool // there may be members that /proc does not show
	showsCaught  bool // /proc says who has a handler

	group        int // the leader's, if the signal went to it, at groupAt
	groupAt      uint64
	signalled    map[identity]uint64 // when it got the signal, in the unit of Member.Start
	byGroup      map[identity]bool   // it got it, if it was still in the group
	owed         map[identity]bool   // it was a newborn, and may have lost it
	signalledPid map[int]uint64      // the same by pid, for its children to look up
	frozen       map[identity]bool
	killed       map[identity]bool
	refused      map[identity]unix.Errno
	refusedSince time.Time // nobody is left but those who refuse
}

// New returns a Reaper for the children of this process, of which leader is the
// one whose status is of interest. report is called on Run's goroutine and must
// not block.
func New(leader int, report func(Event)) *Reaper {
	return &Reaper{
		leader: leader, report: report, wake: make(chan struct{}, 1),
		command: Member.Command, naming: make(chan struct{}, 1),
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

// Stop sends sig to every member once, also to those who lose their parent
// later, and kills what is left after grace. Who has only just been forked gets it
// when it is his own handlers that he has. With leaderOnly the others get it
// when the leader has ended, and nobody else would tell them. A second call can
// make grace end earlier, and changes nothing else.
func (r *Reaper) Stop(sig unix.Signal, grace time.Duration, leaderOnly bool) {
	r.do(func() { r.stop(sig, grace, leaderOnly) })
}

// Kill ends the grace period, or does without one.
func (r *Reaper) Kill() { r.do(r.kill) }

// Quit makes Run return when it has given up. Without it Run goes on, trying
// once a second, and returns when the last one has ended.
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

// Run returns when this process has no children left.
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
		if r.reap(); r.result.Left == 0 || r.gaveUp && r.quit {
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

// reap takes the status of everybody who has ended.
func (r *Reaper) reap() {
	reaped, leaderEnded := 0, false
	defer func() {
		if leaderEnded {
			left := r.members()
			r.report(Event{Kind: LeaderEnded, Status: r.result.Status, Count: len(left), Processes: r.inWords(left, fewProcesses)})
		}
	}()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil: // ECHILD
			r.result.Left = 0
			return
		case pid == 0:
			r.result.Left = max(r.result.Left, 1)
			if reaped > 0 && r.phase != Running { // some have lost their parent
				r.passSoon()
			}
			return
		}
		reaped++
		hidden := identity{pid: pid} // without a start, so the next with this pid is no other
		delete(r.signalled, hidden)
		delete(r.byGroup, hidden)
		delete(r.refused, hidden)
		if pid == r.leader {
			r.leader, leaderEnded = 0, true // the pid may come back
			r.result.LeaderEnded, r.result.Status = true, status
		}
	}
}

// work does what is due and returns how long nothing will be.
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

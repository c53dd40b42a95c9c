// Package sequence takes a program through its shutdown: it runs hooks phase by phase,
// each in the time that it has. It knows no signals, no log and no files, and does not
// count the work in flight: its Config says how to wait for that.
//
// A Sequence has one lock and no goroutine of its own that owns the state. Hooks are
// registered before the shutdown begins, from any goroutine, and until then there is
// nothing to run.
package sequence

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A Phase is where a Sequence is.
type Phase int

// The phases, in their order. Hooks are registered for the three in the middle.
const (
	Running Phase = iota
	Leave
	Drain
	Close
	Done
)

func (p Phase) String() string {
	if names := [...]string{"running", "leave", "drain", "close", "done"}; p >= 0 && int(p) < len(names) {
		return names[p]
	}
	return fmt.Sprintf("Phase(%d)", int(p))
}

var (
	// ErrTimeout is the cause of contexts that end because their time is up.
	ErrTimeout error = timeoutError("shutdown: timed out")

	// ErrForced is the cause of contexts that end because the shutdown is cut short.
	ErrForced = errors.New("shutdown: forced")

	errRequested = errors.New("shutdown: requested")
	errEnded     = errors.New("shutdown: the shutdown has ended")
	errDrainEnds = fmt.Errorf("%w: the drain is about to end", ErrTimeout)
)

// A timeoutError is ErrTimeout.
type timeoutError string

func (e timeoutError) Error() string { return string(e) }

// Is makes it what a context returns whose deadline has passed.
func (e timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// A ForcedError is ErrForced with its cause.
type ForcedError struct{ Cause error }

func (e *ForcedError) Error() string {
	if e.Cause == nil {
		return ErrForced.Error()
	}
	return ErrForced.Error() + ": " + e.Cause.Error()
}

func (e *ForcedError) Unwrap() []error {
	if e.Cause == nil {
		return []error{ErrForced}
	}
	return []error{ErrForced, e.Cause}
}

// A Config is what a Sequence needs of the program around it.
type Config struct {
	Base context.Context // all other contexts are derived from it

	// Plan is called with the lock held: when the shutdown begins, and without a cause
	// for a Snapshot before that. serves says whether there is a Drain hook: only then
	// does a lame duck make sense.
	Plan func(serves bool, cause error) Plan

	// The work in flight. These four are called without the lock; CutOff and WorkEnded
	// must not call Force.
	Drain       func(ctx context.Context) error       // waits until there is none, and admits none after that; fails if ctx ends first
	CutOff      func()                                // marks all of it, and all that comes later, as cut off; WorkContext ends right after
	WorkEnded   func(cause error)                     // WorkContext has ended by the deadline or by force
	CutOffError func(at time.Time, cause error) error // after Drain: names what was cut off, if anything was, at that time

	// What happens. These are called with the lock held, so in order; they must not
	// block, and must not call the Sequence.
	Began   func(at time.Time, cause error, plan Plan)
	Forced  func(cause error)
	Failed  func(s Step, afterEnd bool) // a hook failed
	Changed func()                      // what Snapshot returns has changed, apart from its Plan and Pending

	// Overdue is called without the lock, before what has not returned at the end of
	// Leave or Drain is abandoned.
	Overdue func(p Phase)
}

// A Sequence goes from Running to Done, once. All methods may be called from any
// goroutine and at any time, hooks included, except where they say otherwise.
type Sequence struct {
	config Config

	accept, work, force          context.Context
	endAccept, endWork, endForce context.CancelCauseFunc
	workEnds                     sync.Once // around endWork: its first cause is the one that counts

	reached [Done + 1]chan struct{} // closed when the phase begins, with mu held
	changed chan struct{}           // holds one wake-up for the goroutine in Run
	phase   atomic.Int64            // a Phase; written with mu held

	mu       sync.Mutex // protects what follows
	begun    time.Time  // zero while Running
	cause    error      // of Begin
	plan     Plan
	forced   *ForcedError // nil unless the end was forced
	forcedAt time.Time
	cutAt    time.Time // when WorkContext ended by the deadline or by force
	cutCause error     // of that end; known before work is marked as cut off
	took     time.Duration
	hooks    []*hook         // that have not run yet, as registered
	active   []*hook         // that run now
	steps    []Step          // of phases, of hooks that run or have run, and what AddStep added
	late     context.Context // for Leave and Drain hooks that are registered in or after their phase
}

// New returns a Sequence that is Running.
func New(c Config) *Sequence {
	s := &Sequence{config: c, changed: make(chan struct{}, 1)}
	for p := range s.reached {
		s.reached[p] = make(chan struct{})
	}
	close(s.reached[Running])
	s.accept, s.endAccept = context.WithCancelCause(c.Base)
	s.work, s.endWork = context.WithCancelCause(c.Base)
	s.force, s.endForce = context.WithCancelCause(c.Base)
	return s
}

// Phase is where the Sequence is. It costs one atomic load.
func (s *Sequence) Phase() Phase { return Phase(s.phase.Load()) }

// Accept ends when the shutdown begins.
func (s *Sequence) Accept() context.Context { return s.accept }

// Work ends shortly before Drain does, when the end is forced, or when Close has ended.
func (s *Sequence) Work() context.Context { return s.work }

// Reached returns a channel that is closed when p begins; nil if there is no such phase.
func (s *Sequence) Reached(p Phase) <-chan struct{} {
	if p < Running || p > Done {
		return nil
	}
	return s.reached[p]
}

// Begin begins the shutdown, with force so that only Close is left to run. It does
// not block. Only the first call has an effect, and returns true: its caller then
// calls Run.
func (s *Sequence) Begin(cause error, force bool) (first bool) {
	s.mu.Lock()
	if s.Phase() != Running {
		s.mu.Unlock()
		return false
	}
	s.begun, s.cause, s.plan = time.Now(), cause, s.config.Plan(s.servesLocked(), cause)
	s.enterLocked(Leave)
	s.config.Began(s.begun, cause, s.plan)
	if force {
		s.forceLocked(cause)
	}
	s.config.Changed()
	s.mu.Unlock()

	if cause == nil {
		cause = errRequested
	}
	s.endAccept(cause)
	s.endIfForced()
	return true
}

// Force cuts a shutdown short that has begun. Only the first call has an effect, and
// none has before the beginning or after the end. It does not block.
func (s *Sequence) Force(cause error) {
	s.mu.Lock()
	s.forceLocked(cause)
	s.mu.Unlock()
	s.endIfForced()
}

func (s *Sequence) forceLocked(cause error) {
	if now := s.Phase(); s.forced == nil && now != Running && now != Done {
		s.forced, s.forcedAt = &ForcedError{cause}, time.Now()
		s.config.Forced(cause)
		s.config.Changed()
	}
}

// endIfForced ends the contexts that a forced end cuts short.
func (s *Sequence) endIfForced() {
	s.mu.Lock()
	forced := s.forced
	s.mu.Unlock()
	if forced != nil {
		s.cutOff(forced)
		s.endForce(forced)
	}
}

// cutOff ends WorkContext by the deadline or by force. What is in flight is marked
// before anything can react to that, and named when there is time.
func (s *Sequence) cutOff(cause error) {
	s.workEnds.Do(func() {
		s.mu.Lock()
		s.cutAt, s.cutCause = time.Now(), cause
		s.mu.Unlock()
		s.config.CutOff()
		s.endWork(cause)
		s.config.WorkEnded(cause)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.config.Changed()
	})
}

// IfRunning calls f and returns true, unless the shutdown has begun. It cannot begin
// before f has returned. f must not block and must not call the Sequence.
func (s *Sequence) IfRunning(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Phase() != Running {
		return false
	}
	f()
	return true
}

// AddStep calls f, with the time since the beginning, and adds the step that it
// returns, if it returns one. No phase can end in between: when f declares that a
// piece of work has ended, its step is recorded before anything can follow from that.
// f must not block and must not call the Sequence.
func (s *Sequence) AddStep(f func(now Phase, since time.Duration) *Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if step := f(s.Phase(), time.Since(s.begun)); step != nil {
		s.steps = append(s.steps, *step)
		s.config.Changed()
	}
}

// ForcedEnd is end, or the time that a forced end leaves to Close if that is earlier.
func (s *Sequence) ForcedEnd(end time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forcedEndLocked(end)
}

func (s *Sequence) forcedEndLocked(end time.Time) time.Time {
	if forced := s.forcedAt.Add(s.plan.Reserve); s.forced != nil && forced.Before(end) {
		return forced
	}
	return end
}

// enterLocked changes the phase.
func (s *Sequence) enterLocked(p Phase) {
	if p != s.Phase() {
		s.phase.Store(int64(p))
		close(s.reached[p])
	}
}

// servesLocked reports whether anything has to stop taking new work.
func (s *Sequence) servesLocked() bool {
	for _, h := range s.hooks {
		if h.phase == Drain {
			return true
		}
	}
	return false
}

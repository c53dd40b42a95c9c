package sequence

import (
	"context"
	"time"
)

// Run takes the program from Leave to Done, and returns then. It is called once, by
// the caller of Begin that was the first. Apart from Begin it is the only code that
// changes the phase.
func (s *Sequence) Run() {
	s.mu.Lock()
	begun, plan := s.begun, s.plan
	s.mu.Unlock()
	drainEnd := begun.Add(plan.DrainEnd)

	soft, hard, cancel := s.limits(begun.Add(plan.leaveEnd()))
	defer cancel()
	s.runConcurrent(Leave, soft, hard, func(context.Context) error {
		s.serveOn(begun.Add(plan.LameDuck))
		return nil
	})

	drain := time.Until(drainEnd)
	soft, hard, cancelDrain := s.limits(drainEnd)
	defer cancelDrain()
	tooLate := time.AfterFunc(drain-forAnswers(drain), func() { s.cutOff(errDrainEnds) })
	s.runConcurrent(Drain, soft, hard, s.drain)
	tooLate.Stop() // WorkContext lives on in Close

	s.runClose(closeEnd(begun, plan))
	s.workEnds.Do(func() { s.endWork(errEnded) })
}

const (
	// The time between the end of a hook's context and the moment when it is abandoned.
	minUnwind = 20 * time.Millisecond
	maxUnwind = time.Second
	// What a forced end leaves to the hooks of Leave and of Drain, at most.
	maxForced = 100 * time.Millisecond
)

// Unwind is the part of a time of length d that is left to hooks after their context
// has ended.
func Unwind(d time.Duration) time.Duration {
	return min(max(d/10, minUnwind), maxUnwind, max(d/2, 0))
}

// limits returns the contexts of a phase that ends at end: soft is for the hooks, and
// when hard ends they are abandoned. A forced end ends soft, and hard a moment later.
func (s *Sequence) limits(end time.Time) (soft, hard context.Context, cancel context.CancelFunc) {
	length := atLeastUnwind(time.Until(end))
	end = time.Now().Add(length)
	soft, cancelSoft := context.WithDeadlineCause(s.force, end.Add(-Unwind(length)), ErrTimeout)
	hard, cancelHard := context.WithDeadline(context.Background(), end)
	moment := min(max(s.plan.Reserve/10, minUnwind), maxForced)
	stop := context.AfterFunc(s.force, func() {
		timer := time.NewTimer(moment)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancelHard()
		case <-hard.Done():
		}
	})
	return soft, hard, func() { stop(); cancelSoft(); cancelHard() }
}

// serveOn waits for the end of the lame duck.
func (s *Sequence) serveOn(until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.force.Done():
	}
}

// drain waits for the work in flight. By now the Drain hooks have returned or are
// abandoned: work that is admitted while one of them runs is waited for. The error
// names what was cut off, also if it has returned since.
func (s *Sequence) drain(hard context.Context) error {
	if s.config.Drain(hard) != nil {
		s.cutOff(errDrainEnds) // done long ago, unless this process was frozen
	}
	s.mu.Lock()
	at, cause := s.cutAt, s.cutCause // which the context may not have yet
	s.mu.Unlock()
	return s.config.CutOffError(at, cause)
}

// runConcurrent runs the hooks of Leave or Drain, and those that come late, until all
// have returned and finish has, or until hard ends.
func (s *Sequence) runConcurrent(p Phase, soft, hard context.Context, finish func(hard context.Context) error) {
	step := s.enter(p, soft)
	s.mu.Lock()
	for _, h := range s.takeLocked(p) {
		s.startLocked(soft, h)
	}
	s.mu.Unlock()
	s.waitIdle(hard)
	err := finish(hard)
	s.waitIdle(hard) // for hooks that were registered meanwhile
	if hard.Err() != nil {
		end, _ := hard.Deadline()
		s.thaw(end)
		s.config.Overdue(p)
		s.abandonAll()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveLocked(step, err)
}

// enter begins phase p; ctx is for Leave and Drain hooks that are registered while it
// lasts. The result is for leaveLocked.
func (s *Sequence) enter(p Phase, ctx context.Context) (step int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enterLocked(p)
	s.late = ctx
	s.steps = append(s.steps, Step{Phase: p, At: time.Since(s.begun), Running: true})
	s.config.Changed()
	return len(s.steps) - 1
}

func (s *Sequence) leaveLocked(step int, err error) {
	it := &s.steps[step]
	it.Running, it.Took, it.Err = false, time.Since(s.begun)-it.At, err
	s.config.Changed()
}

func (s *Sequence) doneLocked(step int) {
	s.leaveLocked(step, nil)
	s.took = time.Since(s.begun)
	s.enterLocked(Done)
}

// waitIdle waits until no hook runs, or until hard ends.
func (s *Sequence) waitIdle(hard context.Context) {
	for {
		s.mu.Lock()
		idle := len(s.active) == 0
		s.mu.Unlock()
		if idle {
			return
		}
		select {
		case <-s.changed:
		case <-hard.Done():
			return
		}
	}
}

// wake makes Run look again.
func (s *Sequence) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

package sequence

import (
	"context"
	"slices"
	"time"
)

// runClose runs the hooks of Close, the last registered first, until none is left. The
// last of them has to be over at end; a forced end is earlier. When it returns the
// phase is Done.
func (s *Sequence) runClose(end time.Time) {
	late, cancel := context.WithDeadlineCause(s.force, end, ErrTimeout) // for Leave and Drain hooks that come now
	defer cancel()
	step := s.enter(Close, late)
	for extended := false; ; {
		forced := s.force.Done()
		if s.force.Err() != nil {
			forced = nil
			if !extended {
				end = s.ForcedEnd(end)
			}
		}
		if !extended && wasFrozen(end) {
			extended, end = true, time.Now().Add(minClose)
		} else if time.Until(end) <= 0 {
			s.closeRest(step)
			return
		}
		h, behind, done := s.nextClose(step)
		switch {
		case done:
			return
		case h != nil:
			s.closeOne(h, behind, end, forced)
		default: // only hooks of earlier phases are left, which were registered late
			timer := time.NewTimer(time.Until(end))
			select {
			case <-s.changed:
			case <-timer.C:
			case <-forced:
			}
			timer.Stop()
		}
	}
}

// nextClose removes the last registered Close hook and returns it, with the number of
// those that are left. done means that nothing is left: then the phase is Done, in the
// same step, so that no hook can be registered in between.
func (s *Sequence) nextClose(step int) (h *hook, behind int, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.hooks); n > 0 {
		h, s.hooks = s.hooks[n-1], s.hooks[:n-1]
		return h, n - 1, false
	}
	if len(s.active) > 0 {
		return nil, 0, false
	}
	s.doneLocked(step)
	return nil, 0, true
}

// closeOne runs h for as long as it may, and then abandons it.
func (s *Sequence) closeOne(h *hook, behind int, end time.Time, forced <-chan struct{}) {
	softEnd, hardEnd := closeLimits(end, behind)
	deadline, cancel := context.WithDeadlineCause(s.config.Base, softEnd, ErrTimeout)
	defer cancel()
	ctx, cut := context.WithCancelCause(deadline)
	defer cut(nil)
	timer := time.NewTimer(time.Until(hardEnd))
	defer timer.Stop()

	s.mu.Lock()
	h.behind = behind
	s.startLocked(ctx, h)
	s.mu.Unlock()
	for thawed := false; ; {
		s.mu.Lock()
		ended := h.ended
		s.mu.Unlock()
		if ended {
			return
		}
		select {
		case <-s.changed:
		case <-timer.C:
			if !thawed && wasFrozen(hardEnd) {
				thawed = true
				timer.Reset(minUnwind)
				continue
			}
			s.mu.Lock()
			s.endLocked(h, s.abandonedLocked())
			s.mu.Unlock()
		case <-forced:
			forced = nil
			softEnd, hardEnd = closeLimits(s.ForcedEnd(end), behind)
			defer time.AfterFunc(time.Until(softEnd), func() { cut(ErrForced) }).Stop()
			timer.Reset(time.Until(hardEnd))
		}
	}
}

// closeLimits is when the context of the next Close hook ends, and when it is
// abandoned, with so many hooks behind it.
func closeLimits(end time.Time, behind int) (softEnd, hardEnd time.Time) {
	slot := closeSlot(time.Until(end), behind)
	hardEnd = time.Now().Add(slot)
	return hardEnd.Add(-Unwind(slot)), hardEnd
}

// closeFloor is what every Close hook has, if there is that much in all.
const closeFloor = 500 * time.Millisecond

// closeSlot is how long the next Close hook may take of what is left: all of it, less
// a floor for each of the hooks behind it.
func closeSlot(left time.Duration, behind int) time.Duration {
	return left - time.Duration(behind)*min(closeFloor, left/time.Duration(behind+1))
}

// closeRest runs what is left when the time is up, because the process was frozen or
// hooks were registered at the last moment: all at once, with a context that has ended
// and a moment to run.
func (s *Sequence) closeRest(step int) {
	ctx, cancel := context.WithTimeoutCause(s.config.Base, 0, ErrTimeout)
	defer cancel()
	s.mu.Lock()
	for _, h := range slices.Backward(s.hooks) {
		s.startLocked(ctx, h)
	}
	s.hooks = nil
	s.mu.Unlock()
	hard, cancelHard := context.WithTimeout(context.Background(), minUnwind)
	defer cancelHard()
	s.waitIdle(hard)
	s.abandonAll()

	s.mu.Lock()
	defer s.mu.Unlock()
	// Hooks that were registered in this very moment run, and nothing waits for them.
	for _, h := range s.hooks {
		s.startLocked(ctx, h)
		s.endLocked(h, s.abandonedLocked())
	}
	s.hooks = nil
	s.doneLocked(step)
}

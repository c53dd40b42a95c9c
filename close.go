package shutdown

import (
	"context"
	"slices"
	"time"

	"github.com/gracefulgo/shutdown/internal/share"
)

// runClose runs the hooks of Close, the last registered first, until none is
// left. By end the last of them has to be over; a forced end is nearer. When
// it returns the phase is Done.
func (m *Manager) runClose(end time.Time) {
	late, cancel := context.WithDeadlineCause(m.base, end, ErrTimeout)
	defer cancel()
	step := m.enter(Close, late)
	for frozen := false; ; {
		forced := m.force.Done()
		if m.force.Err() != nil {
			forced = nil
			if !frozen {
				end = m.forcedEnd(end)
			}
		}
		if over := time.Since(end); over > minUnwind && !frozen {
			// No hook takes that long: the process was stopped in the middle of
			// Close. What is left gets what a Close that comes late gets.
			frozen, end = true, time.Now().Add(minClose)
		} else if over >= 0 {
			m.closeRest(step)
			return
		}
		h, behind, done := m.nextClose(step)
		switch {
		case done:
			return
		case h != nil:
			m.closeOne(h, behind, end, forced)
		default: // only latecomers of earlier phases are left
			timer := time.NewTimer(time.Until(end))
			select {
			case <-m.changed:
			case <-timer.C:
			case <-forced:
			}
			timer.Stop()
		}
	}
}

// nextClose removes the last registered Close hook and returns it, with the
// number of those that are left. done means that nothing is left: then the
// phase is Done, in the same step, so that no hook can slip in between.
func (m *Manager) nextClose(step int) (h *hook, behind int, done bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.hooks); n > 0 {
		h, m.hooks = m.hooks[n-1], m.hooks[:n-1]
		return h, n - 1, false
	}
	if len(m.active) > 0 {
		return nil, 0, false
	}
	m.doneLocked(step)
	return nil, 0, true
}

// closeOne runs h for as long as it may, and leaves it behind after that.
func (m *Manager) closeOne(h *hook, behind int, end time.Time, forced <-chan struct{}) {
	softEnd, hardEnd := closeSlot(end, behind)
	deadline, cancel := context.WithDeadlineCause(m.base, softEnd, ErrTimeout)
	defer cancel()
	ctx, cut := context.WithCancelCause(deadline)
	defer cut(nil)
	timer := time.NewTimer(time.Until(hardEnd))
	defer timer.Stop()

	m.mu.Lock()
	m.startLocked(ctx, h)
	m.mu.Unlock()
	for {
		m.mu.Lock()
		ended := h.ended
		m.mu.Unlock()
		if ended {
			return
		}
		select {
		case <-m.changed:
		case <-timer.C:
			m.mu.Lock()
			m.endLocked(h, m.leftBehindLocked())
			m.mu.Unlock()
		case <-forced:
			forced = nil
			softEnd, hardEnd = closeSlot(m.forcedEnd(end), behind)
			defer time.AfterFunc(time.Until(softEnd), func() { cut(ErrForced) }).Stop()
			timer.Reset(time.Until(hardEnd))
		}
	}
}

// closeSlot is the part of what is left until end that the next hook has.
func closeSlot(end time.Time, behind int) (softEnd, hardEnd time.Time) {
	slot := share.CloseSlot(time.Until(end), behind)
	hardEnd = time.Now().Add(slot)
	return hardEnd.Add(-unwind(slot)), hardEnd
}

// closeRest is for what is left when time is up, which takes a process that
// was frozen, or hooks registered at the last moment: all at once, with a
// context that has ended and a moment to run.
func (m *Manager) closeRest(step int) {
	ctx, cancel := context.WithTimeoutCause(m.base, 0, ErrTimeout)
	defer cancel()
	m.mu.Lock()
	for _, h := range slices.Backward(m.hooks) {
		m.startLocked(ctx, h)
	}
	m.hooks = nil
	m.mu.Unlock()
	hard, cancelHard := context.WithTimeout(context.Background(), minUnwind)
	defer cancelHard()
	m.waitIdle(hard)
	m.leaveBehind()

	m.mu.Lock()
	defer m.mu.Unlock()
	// Hooks that came in this very moment run, and nobody waits for them.
	for _, h := range m.hooks {
		m.startLocked(ctx, h)
		m.endLocked(h, m.leftBehindLocked())
	}
	m.hooks = nil
	m.doneLocked(step)
}

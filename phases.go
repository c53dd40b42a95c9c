package shutdown

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gracefulgo/shutdown/internal/probe"
	"github.com/gracefulgo/shutdown/internal/share"
)

const (
	minUnwind = 20 * time.Millisecond
	maxUnwind = time.Second
	// What a forced end leaves to Leave and Drain hooks each.
	maxForced = 100 * time.Millisecond
	// The end of the run keeps a moment for its last log line, and has a longer
	// one if there is time. Only a log that does not work takes it.
	minFlush = 20 * time.Millisecond
	maxFlush = 100 * time.Millisecond
	// So long the first hook waits for the first log line. A log that hangs holds
	// up a shutdown by no more.
	startFlush = 5 * time.Millisecond
	// What Close has in any case, also in a process that was frozen.
	minClose = 500 * time.Millisecond
)

// unwind is the part of a phase or a slot of length d that is left to hooks
// when their context has ended.
func unwind(d time.Duration) time.Duration {
	return min(max(d/10, minUnwind), maxUnwind, max(d/2, 0))
}

// run is the whole shutdown, on a goroutine that begin starts.
func (m *Manager) run() {
	m.mu.Lock()
	begun, b := m.begun, m.budget
	m.mu.Unlock()
	end := begun.Add(b.timeout)
	flush := min(minFlush, b.timeout/50)

	m.log.flush(startFlush)
	warnUnreaped := m.watchUnreaped()
	stopTicks := m.tick(begun)
	m.runPhases(begun, end, end.Add(-flush), b)
	stopTicks()
	warnUnreaped()
	m.finish(end, flush)
}

// runPhases takes the program from Leave to Done. It is the only code that
// changes the phase, but for begin.
func (m *Manager) runPhases(begun, end, closeEnd time.Time, b budget) {
	drainEnd := end.Add(-b.reserve)
	leaveEnd := begun.Add(share.LeaveEnd(b.lameDuck, drainEnd.Sub(begun)))
	soft, hard, cancel := m.limits(leaveEnd)
	defer cancel()
	m.runConcurrent(Leave, soft, hard, func(context.Context) error {
		m.serveOn(begun.Add(b.lameDuck))
		return nil
	})

	drain := time.Until(drainEnd)
	soft, hard, cancelDrain := m.limits(drainEnd)
	defer cancelDrain()
	tooLate := time.AfterFunc(drain-min(2*time.Second, drain/5), func() {
		m.cut(errDrainEnds)
	})
	m.runConcurrent(Drain, soft, hard, m.drain)
	tooLate.Stop() // WorkContext lives on in Close

	// A process that was frozen gets here when the reserve is gone.
	if late := time.Since(drainEnd); late > max(b.reserve/2, maxForced) && time.Until(closeEnd) < minClose {
		closeEnd = time.Now().Add(minClose)
	}
	m.runClose(closeEnd)
}

// limits returns the contexts of a phase that ends at end: soft is for the
// hooks, hard is when they are left behind. A forced end is the end of soft,
// and a moment later of hard.
func (m *Manager) limits(end time.Time) (soft, hard context.Context, cancel context.CancelFunc) {
	length := max(time.Until(end), minUnwind) // a frozen process gets here late
	end = time.Now().Add(length)
	soft, cancelSoft := context.WithDeadlineCause(m.force, end.Add(-unwind(length)), ErrTimeout)
	hard, cancelHard := context.WithDeadline(context.Background(), end)
	moment := min(max(m.budget.reserve/10, minUnwind), maxForced)
	stop := context.AfterFunc(m.force, func() {
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
func (m *Manager) serveOn(until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-m.force.Done():
	}
}

// errDrainEnds is the cause of WorkContext's end at the deadline.
var errDrainEnds = fmt.Errorf("%w: the drain is about to end", ErrTimeout)

// drain waits for the work in flight. By now the Drain hooks have returned or
// are given up: as long as one runs, what it lets in is let in. The error names
// what was cut off, also if it has returned since.
func (m *Manager) drain(hard context.Context) error {
	if m.tracker.Drain(hard) != nil {
		m.cut(errDrainEnds) // long ago, unless this process was frozen
	}
	cut, late, left := m.tracker.cutTasks(), m.tracker.lateTasks(), m.tracker.Tasks()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cutOff, m.unfinished = cut, left
	if len(cut) == 0 {
		return nil
	}
	m.logCutOff(late, context.Cause(m.work)) // the others are logged when it happens
	why := ErrTimeout
	if errors.Is(context.Cause(m.work), ErrForced) {
		why = ErrForced
	}
	err := fmt.Errorf("%w: %s cut off: %s", why, count(len(cut), "task"), names(cut, m.cutAt, maxNamesInError))
	m.errs = append(m.errs, err)
	return err
}

// forcedEnd is the end of Close, which after Force is at most Reserve away.
func (m *Manager) forcedEnd(end time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if forced := m.forcedAt.Add(m.budget.reserve); m.forced != nil && forced.Before(end) {
		return forced
	}
	return end
}

// enter begins phase p; ctx is for Leave and Drain hooks that come while it
// lasts. The result is for leave.
func (m *Manager) enter(p Phase, ctx context.Context) (step int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.enterLocked(p)
	m.concurrent = ctx
	m.steps = append(m.steps, Step{Phase: p, At: time.Since(m.begun), Running: true})
	m.note()
	return len(m.steps) - 1
}

func (m *Manager) leave(step int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leaveLocked(step, err)
}

func (m *Manager) leaveLocked(step int, err error) {
	s := &m.steps[step]
	s.Running, s.Took, s.Err = false, time.Since(m.begun)-s.At, err
	m.note()
}

func (m *Manager) doneLocked(step int) {
	m.leaveLocked(step, nil)
	m.took = time.Since(m.begun)
	m.enterLocked(Done)
}

// finish says how it ended and gives the signals back.
func (m *Manager) finish(end time.Time, flush time.Duration) {
	m.workOver.Do(func() { m.endWork(errEnded) })
	m.mu.Lock()
	if m.cause != nil && !isRequest(m.cause) {
		m.errs = append([]error{m.cause}, m.errs...)
	}
	if m.forced != nil {
		m.errs = append(m.errs, m.forced)
	}
	m.err = errors.Join(m.errs...)
	m.mu.Unlock()
	m.awaitStacks(m.forcedEnd(end).Add(-flush))
	m.flushKeepers(time.Now().Add(max(flush, time.Until(m.forcedEnd(end))) - flush/2))
	m.logEnded()
	m.log.flush(max(flush/2, min(maxFlush, time.Until(end))))
	if m.caught == nil {
		close(m.done)
		return
	}
	hangs := m.hangs(m.forcedEnd(end))
	if hangs {
		m.log.error("shutdown: nobody has called Wait")
		m.log.flush(maxFlush)
	}
	close(m.done)
	// A repeated signal that comes between here and os.Exit must not spoil the
	// exit code, so main has a moment to get there. If it does not, the signal
	// does what it would have done.
	if !hangs {
		time.Sleep(maxFlush)
	}
	m.release()
	raise := m.oneMore
	if hangs && raise == nil {
		m.mu.Lock()
		raise = m.asked
		m.mu.Unlock()
	}
	if raise != nil {
		m.env.signals.raise(raise)
	}
}

// hangs reports whether nobody has called Wait by end: until then main may
// still be in a start-up that goes on. Run returns in any case.
func (m *Manager) hangs(end time.Time) bool {
	m.mu.Lock()
	isRun := m.isRun
	m.mu.Unlock()
	if isRun {
		return false
	}
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-m.waiting:
		return false
	case <-timer.C:
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.waited // it may have been called before end was looked at
}

func isRequest(cause error) bool {
	switch cause.(type) { //nolint:errorlint // an error that wraps one is no request
	case SignalError, signalText, jobsDone, probe.PreStop:
		return true
	}
	return false
}

// runConcurrent runs the hooks of Leave or Drain, and those that come late,
// until all have returned and finish has, or until hard ends.
func (m *Manager) runConcurrent(p Phase, soft, hard context.Context, finish func(hard context.Context) error) {
	step := m.enter(p, soft)
	m.mu.Lock()
	for _, h := range m.takeLocked(p) {
		m.startLocked(soft, h)
	}
	m.mu.Unlock()
	m.waitIdle(hard)
	err := finish(hard)
	m.waitIdle(hard) // for hooks that came meanwhile
	if hard.Err() != nil {
		if p == Drain {
			m.logLeftovers()
		}
		m.leaveBehind()
	}
	m.leave(step, err)
}

// waitIdle waits until no hook runs, or until hard ends.
func (m *Manager) waitIdle(hard context.Context) {
	for {
		m.mu.Lock()
		idle := len(m.active) == 0
		m.mu.Unlock()
		if idle {
			return
		}
		select {
		case <-m.changed:
		case <-hard.Done():
			return
		}
	}
}

// wake tells the goroutine that runs the shutdown to look again.
func (m *Manager) wake() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

package shutdown

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/internal/asynclog"
	"github.com/gracefulgo/shutdown/internal/clip"
	"github.com/gracefulgo/shutdown/internal/grace"
	"github.com/gracefulgo/shutdown/internal/sequence"
	"github.com/gracefulgo/shutdown/internal/signame"
	"github.com/gracefulgo/shutdown/internal/stacks"
)

const (
	tickEvery = time.Second
	// A tick that comes this late means that the process was frozen.
	frozen = 2 * time.Second

	// No line of the log is longer than 8 KB. These are the limits of its parts, as slog
	// quotes them: an error by itself, an error beside a Report, a list of names, a stack.
	maxErrText  = 6 << 10
	maxLastText = 1200
	maxNameText = 2 << 10
	maxStack    = 6 << 10 // which has little to quote

	// How many different names a line has. The rest is counted.
	maxNames        = 10
	maxNamesInError = 64  // is for the error of Wait; the Report has all
	maxTaskName     = 100 // so many letters of a name are in a line; the Report has all

	// How many different stacks, and lines of names, are logged at the end of a drain, and
	// for Dump.
	maxStacks, maxDump = 16, 256
)

// adviceOnGuess stands beside times that follow from a guess.
const adviceOnGuess = "the grace period is guessed: set " + grace.EnvGracePeriod + " to what the platform grants"

// A logText is an error whose text is made when the line is written: its Error method is
// the program's code, which must not run while a lock is held.
type logText struct {
	err   error
	limit int
}

func (t logText) LogValue() slog.Value {
	if t.err == nil {
		return slog.StringValue("requested") // as a cause
	}
	return slog.StringValue(clip.To(clip.ErrorText(t.err), t.limit))
}

// began is called when the shutdown begins, before any hook starts.
func (m *Manager) began(begun time.Time, cause error, p sequence.Plan) {
	m.signals.catchBrokenPipe() // before anybody can log that the service stops
	level := slog.LevelInfo
	if cause != nil && !isRequest(cause) {
		level = slog.LevelError
	}
	b := m.budget
	var kill []any
	switch {
	case !isStop(cause): // nobody kills
	case grace.Guessed(b.Source):
		kill = []any{"kill_guessed", begun.Add(b.Grace)}
	default:
		kill = []any{"kill_expected", begun.Add(b.Grace)}
	}
	if len(kill) > 0 && grace.MayBeWrong(b.Source) {
		kill = append(kill, "advice", adviceOnGuess)
	}
	m.log.Log(level, "shutdown: started", append([]any{
		"cause", logText{cause, maxErrText},
		"uptime_seconds", inSeconds(begun.Sub(m.started)),
		"grace_period_seconds", inSeconds(b.Grace),
		"grace_source", b.Source,
		"timeout_seconds", inSeconds(p.Timeout),
		"lame_duck_seconds", inSeconds(p.LameDuck),
		"reserve_seconds", inSeconds(p.Reserve),
		"in_flight", m.tracker.work.Count(),
		"work_ends", begun.Add(p.WorkEnd()),
		"drain_ends", begun.Add(p.DrainEnd),
		"close_ends", begun.Add(p.Timeout)}, kill...)...)
}

// tick logs once a second what is waited for, until stop is called.
func (m *Manager) tick(begun time.Time) (stop func()) {
	quit := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() {
		due := begun.Add(tickEvery)
		timer := time.NewTimer(tickEvery)
		defer timer.Stop()
		for {
			running := true
			select {
			case <-timer.C:
			case <-quit: // a frozen process may wake up to this first
				running = false
			}
			now := time.Now()
			if late := now.Sub(due); late > frozen {
				m.log.Warn("shutdown: the process was not scheduled for a while (stopped, or starved of CPU)", "for_seconds", inSeconds(late))
			}
			if !running {
				return
			}
			m.logWaiting()
			due = now.Add(tickEvery)
			timer.Reset(tickEvery)
		}
	})
	return func() {
		close(quit)
		ticking.Wait()
	}
}

func (m *Manager) logWaiting() {
	m.touch()
	r, ends := m.report()
	if r.Phase == Done {
		return // there is nothing left to wait for
	}
	what := "the end of the lame duck"
	if waiting := r.waitingFor(); len(waiting) > 0 {
		what = clip.To(names(waiting, r.asOf(), maxNames), maxNameText)
	} else if r.Phase != Leave {
		what = "nothing"
	}
	m.log.Info("shutdown: waiting",
		"phase", r.Phase.String(),
		"waiting_for", what,
		"in_flight", len(r.Unfinished),
		"took_seconds", inSeconds(r.Took),
		"left_seconds", inSeconds(max(0, ends-r.Took)))
}

// overdue logs where the work is stuck that has not ended at the end of Drain. Close goes
// on meanwhile.
func (m *Manager) overdue(p sequence.Phase) {
	if p != sequence.Drain {
		return
	}
	r := m.Report()
	if waiting := r.waitingFor(); len(waiting) > 0 {
		m.log.Warn("shutdown: drain ends with work left",
			"waiting_for", clip.To(names(waiting, r.asOf(), maxNames), maxNameText),
			"in_flight", len(r.Unfinished))
		m.stacks = make(chan struct{})
		go func() {
			defer close(m.stacks)
			m.logStacks(maxStacks)
		}()
	}
}

// awaitStacks waits until overdue has logged the stacks: with very many goroutines that
// takes a second.
func (m *Manager) awaitStacks(by time.Time) {
	if m.stacks == nil {
		return
	}
	timer := time.NewTimer(time.Until(by))
	defer timer.Stop()
	select {
	case <-m.stacks:
	case <-timer.C:
	}
}

// workEnded names what is in flight when WorkContext ends by the deadline or by force.
func (m *Manager) workEnded(cause error) { m.logCutOff(tasks(m.tracker.work.CutInFlight()), cause) }

// cutOffError names what was cut off, when Drain has ended.
func (m *Manager) cutOffError(at time.Time, cause error) error {
	cut, late, left := tasks(m.tracker.work.CutItems()), tasks(m.tracker.work.LateItems()), m.Tasks()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cutOff, m.unfinished = cut, left
	if len(cut) == 0 {
		return nil
	}
	m.logCutOff(late, cause) // the others are logged when it happens
	why := ErrTimeout
	if errors.Is(cause, ErrForced) {
		why = ErrForced
	}
	err := fmt.Errorf("%w: %s cut off: %s", why, clip.Count(len(cut), "task"), names(cut, at, maxNamesInError))
	m.errs = append(m.errs, err)
	return err
}

// logCutOff logs work that was cut off, when that happens. Ages are as of then.
func (m *Manager) logCutOff(tasks []Task, cause error) {
	if len(tasks) > 0 {
		m.log.Error("shutdown: cut off", "cause", logText{cause, maxListText},
			"in_flight", len(tasks), "cut_off", clip.To(names(tasks, time.Now(), maxNames), maxNameText))
	}
}

// stepFailed is called when a hook fails.
func (m *Manager) stepFailed(s sequence.Step, afterEnd bool) {
	err := &HookError{Phase: Phase(s.Phase), Name: s.Name, Err: s.Err}
	switch {
	case s.BestEffort:
		m.log.Warn("shutdown: failed, which does not count (best effort)", "error", logText{err, maxErrText})
	case afterEnd:
		m.logFailure(err)
	default:
		m.fail(err)
	}
}

// fail makes err part of what Wait returns, and logs it.
func (m *Manager) fail(err error) {
	m.mu.Lock()
	m.errs = append(m.errs, err)
	m.mu.Unlock()
	m.logFailure(err)
}

// logFailure logs a failure when it happens: the process may be killed before its end.
func (m *Manager) logFailure(err error) {
	m.log.Error("shutdown: failed", "error", logText{err, maxErrText})
}

func (m *Manager) logForced(cause error) {
	m.log.Error("shutdown: forcing the end", "cause", logText{cause, maxErrText})
}

func (m *Manager) logEnded() {
	r := m.Report()
	level, args := slog.LevelInfo, []any{"report", r}
	if m.err != nil {
		level, args = slog.LevelError, append(args, "error", logText{m.err, maxLastText})
	}
	if r.timedOut() && grace.MayBeWrong(r.GraceSource) {
		args = append(args, "advice", adviceOnGuess)
	}
	m.log.Last(level, "shutdown: "+r.Result(), args...)
}

// dump logs all that is known, in as many lines as it takes.
func (m *Manager) dump(sig os.Signal) {
	r := m.Report()
	tasks := m.Tasks()
	m.log.Warn("shutdown: dump", "signal", signame.Name(sig), "phase", r.Phase.String(), "in_flight", len(tasks), "report", r)
	const perLine = maxNameText / maxTaskName
	for i := 0; i < len(tasks) && i < maxDump*perLine; i += perLine {
		some := tasks[i:min(i+perLine, len(tasks))]
		m.log.Warn("shutdown: dump: in flight", "tasks", clip.To(names(some, time.Now(), perLine), 3*maxNameText))
	}
	m.logStacks(maxDump)
}

// logStacks logs the stacks of goroutines, those in a hook, a worker or a request first.
// Equal stacks share a line.
func (m *Manager) logStacks(most int) {
	groups, more := stacks.Groups(stacks.IsWork, isOurs, most, maxStack)
	for _, g := range groups {
		m.log.Warn("shutdown: stack", "goroutines", g.Goroutines, "stack", g.Stack)
	}
	if more > 0 {
		m.log.Warn("shutdown: stacks: the rest is left out", "goroutines", more)
	}
}

// isOurs reports whether a goroutine with this function is there in every program with
// a Manager.
func isOurs(function string) bool {
	return asynclog.Writes(function) || function == "github.com/gracefulgo/shutdown.(*Manager).tick.func1" || function == "os/signal.loop"
}

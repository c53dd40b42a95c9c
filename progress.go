package shutdown

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/internal/clip"
	"github.com/gracefulgo/shutdown/internal/share"
	"github.com/gracefulgo/shutdown/internal/signame"
	"github.com/gracefulgo/shutdown/internal/stacks"
)

const (
	tickEvery = time.Second
	// A tick that comes this late means that the process did not run.
	frozen = 2 * time.Second

	// No line of the log is longer than 8 KB. These are parts of one, as slog
	// quotes them: an error by itself, one beside a Report, a list of names, and a
	// stack.
	maxErrText  = 6 << 10
	maxLastText = 1200
	maxNameText = 2 << 10
	maxStack    = 6 << 10 // which has little to quote

	// So many different names are in a line. The rest is counted.
	maxNames        = 10
	maxNamesInError = 64  // is for the error of Wait; the Report has all
	maxTaskName     = 100 // so many letters of a name are in a line; the Report has all

	// So many different stacks, and lines of names, are logged at the end of a
	// drain, and for Dump.
	maxStacks, maxDump = 16, 256
)

// adviceOnGuess is for whoever reads of a time that is guessed.
const adviceOnGuess = "the grace period is guessed: set " + envGracePeriod + " to what the platform grants"

// adviseOnGuess reports whether a platform may kill at another time than the one
// that is guessed. At a terminal nobody does.
func adviseOnGuess(source string) bool {
	return strings.HasPrefix(source, guessed) && source != guessedTerminal
}

// A logText is an error whose text is made when the line is written. Error is
// the program's code, which must not run with mu held.
type logText struct {
	err   error
	limit int
}

func (t logText) LogValue() slog.Value {
	if t.err == nil {
		return slog.StringValue("requested") // as a cause
	}
	return slog.StringValue(clip.To(errorText(t.err), t.limit))
}

// logStartedLocked needs mu so that nothing is logged before it.
func (m *Manager) logStartedLocked(begun time.Time, b budget) {
	level := slog.LevelInfo
	if m.cause != nil && !isRequest(m.cause) {
		level = slog.LevelError
	}
	kill, advice := "kill_expected", []any(nil)
	if b.guessed {
		kill = "kill_guessed"
	}
	if adviseOnGuess(b.source) {
		advice = []any{"advice", adviceOnGuess}
	}
	m.log.at(level, "shutdown: started", append([]any{
		"cause", logText{m.cause, maxErrText},
		"uptime_seconds", inSeconds(begun.Sub(m.started)),
		"grace_period_seconds", inSeconds(b.grace),
		"grace_source", b.source,
		"timeout_seconds", inSeconds(b.timeout),
		"lame_duck_seconds", inSeconds(b.lameDuck),
		"reserve_seconds", inSeconds(b.reserve),
		"in_flight", m.tracker.inFlight(),
		"drain_ends", begun.Add(b.timeout - b.reserve),
		"close_ends", begun.Add(b.timeout),
		kill, begun.Add(b.grace)}, advice...)...)
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
				m.log.warn("shutdown: the process was not scheduled for a while (stopped, or starved of CPU)", "for_seconds", inSeconds(late))
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
	m.note()
	r := m.Report()
	if r.Phase == Done {
		return // there is nothing left to wait for
	}
	what := "the end of the lame duck"
	if waiting := r.waitingFor(); len(waiting) > 0 {
		what = clip.To(names(waiting, r.asOf(), maxNames), maxNameText)
	} else if r.Phase != Leave {
		what = "nothing"
	}
	m.log.info("shutdown: waiting",
		"phase", r.Phase.String(),
		"waiting_for", what,
		"in_flight", len(r.Unfinished),
		"took_seconds", inSeconds(r.Took),
		"left_seconds", inSeconds(max(0, m.phaseEnd(r)-r.Took)))
}

// phaseEnd is when the present phase ends at the latest, since the beginning.
func (m *Manager) phaseEnd(r Report) time.Duration {
	drainEnd := r.Timeout - r.Reserve
	switch {
	case r.Phase == Leave && len(r.waitingFor()) == 0:
		return r.LameDuck
	case r.Phase == Leave:
		return share.LeaveEnd(r.LameDuck, drainEnd)
	case r.Phase == Drain:
		return drainEnd
	}
	return m.forcedEnd(r.Begun.Add(r.Timeout)).Sub(r.Begun)
}

// asOf is the time of the Report.
func (r Report) asOf() time.Time { return r.Begun.Add(r.Took) }

// waitingFor lists what keeps the shutdown from going on, oldest first.
func (r Report) waitingFor() []Task {
	var waiting []Task
	for _, s := range r.Steps {
		if s.Running && s.Name != "" {
			waiting = append(waiting, Task{fmt.Sprintf("%s hook %q", s.Phase, s.Name), r.Begun.Add(s.At)})
		}
	}
	if r.Phase == Drain {
		waiting = append(waiting, r.Unfinished...)
	}
	slices.SortStableFunc(waiting, func(a, b Task) int { return a.Since.Compare(b.Since) })
	return waiting
}

// logLeftovers shows where what did not end by the end of Drain is stuck. Close
// goes on meanwhile.
func (m *Manager) logLeftovers() {
	r := m.Report()
	if waiting := r.waitingFor(); len(waiting) > 0 {
		m.log.warn("shutdown: drain ends with work left",
			"waiting_for", clip.To(names(waiting, r.asOf(), maxNames), maxNameText),
			"in_flight", len(r.Unfinished))
		m.stacksLogged = make(chan struct{})
		go func() {
			defer close(m.stacksLogged)
			m.logStacks(maxStacks)
		}()
	}
}

// awaitStacks waits for what logLeftovers has begun: with very many goroutines
// that takes a second, which Close need not wait for.
func (m *Manager) awaitStacks(by time.Time) {
	if m.stacksLogged == nil {
		return
	}
	timer := time.NewTimer(time.Until(by))
	defer timer.Stop()
	select {
	case <-m.stacksLogged:
	case <-timer.C:
	}
}

// logCutOff logs work that was cut off, when that happens. Ages are as of then.
func (m *Manager) logCutOff(tasks []Task, cause error) {
	if len(tasks) > 0 {
		m.log.error("shutdown: cut off", "cause", logText{cause, maxListText},
			"in_flight", len(tasks), "cut_off", clip.To(names(tasks, time.Now(), maxNames), maxNameText))
	}
}

// logFailure logs what makes the exit code wrong, when it happens: nobody knows
// whether the end will be reached.
func (m *Manager) logFailure(err error) {
	m.log.error("shutdown: failed", "error", logText{err, maxErrText})
}

// logTolerated logs what went wrong and does not count.
func (m *Manager) logTolerated(err error) {
	m.log.warn("shutdown: failed, which does not count (best effort)", "error", logText{err, maxErrText})
}

func (m *Manager) logEnded() {
	r := m.Report()
	level, args := slog.LevelInfo, []any{"report", r}
	if m.err != nil {
		level, args = slog.LevelError, append(args, "error", logText{m.err, maxLastText})
	}
	if r.timedOut() && adviseOnGuess(r.GraceSource) {
		args = append(args, "advice", adviceOnGuess)
	}
	m.log.last(level, "shutdown: "+r.result(), args...)
}

// dump logs all that is known, in as many lines as it takes.
func (m *Manager) dump(sig os.Signal) {
	r := m.Report()
	tasks := m.Tasks()
	m.log.warn("shutdown: dump", "signal", signame.Name(sig), "phase", r.Phase.String(), "in_flight", len(tasks), "report", r)
	const perLine = maxNameText / maxTaskName
	for i := 0; i < len(tasks) && i < maxDump*perLine; i += perLine {
		some := tasks[i:min(i+perLine, len(tasks))]
		m.log.warn("shutdown: dump: in flight", "tasks", clip.To(names(some, time.Now(), perLine), 3*maxNameText))
	}
	m.logStacks(maxDump)
}

// logStacks logs where goroutines are, those first that are in a hook, a worker
// or a request; a line for each stack, and for equal ones together.
func (m *Manager) logStacks(most int) {
	groups, more := stacks.Groups(isWork, isOurs, most, maxStack)
	for _, g := range groups {
		m.log.warn("shutdown: stack", "goroutines", g.Goroutines, "stack", g.Stack)
	}
	if more > 0 {
		m.log.warn("shutdown: stacks: the rest is left out", "goroutines", more)
	}
}

const module = "github.com/gracefulgo/shutdown"

// isWork reports whether a function of this name runs a hook, a worker or a
// request.
func isWork(function string) bool {
	name, ok := strings.CutPrefix(function, module)
	return ok && slices.ContainsFunc([]string{
		".(*Manager).call", ".(*Manager).startWorkerLocked.func", ".BestEffort.func",
		"/httpserver.(*tracked).", "/grpcserver.(*tracking).",
	}, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// isOurs is for goroutines that are there in every program with a Manager.
func isOurs(function string) bool {
	return function == module+".(*logQueue).write" || function == module+".(*Manager).tick.func1" || function == "os/signal.loop"
}

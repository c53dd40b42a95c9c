package shutdown

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	tickEvery = time.Second
	// maxNames is how many a log line names; the rest it counts.
	maxNames = 10
	// A tick that comes this late means that the process did not run.
	frozen = 2 * time.Second

	maxStacks  = 64 << 10
	maxDump    = 1 << 20
	maxErrText = 3 << 10
)

func (m *Manager) logBegun(begun time.Time, b budget) {
	cause := "requested"
	if m.cause != nil {
		cause = truncate(fmt.Sprint(m.cause), maxErrText) // Sprint survives an Error that panics
	}
	m.log.info("shutdown: begun",
		"cause", cause,
		"uptime", round(begun.Sub(m.started)),
		"grace_period", b.grace,
		"grace_source", b.source,
		"lame_duck", b.lameDuck,
		"in_flight", m.tracker.inFlight(),
		"drain_ends", clock(begun.Add(b.timeout-b.reserve)),
		"timeout", clock(begun.Add(b.timeout)),
		"kill", clock(begun.Add(b.grace)))
}

func clock(t time.Time) string { return t.Format("15:04:05.000") }

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
				m.log.warn("shutdown: the process did not run for a while: stopped, or without CPU", "for", round(late))
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
	waiting := r.waitingFor()
	what := "lame duck"
	if len(waiting) > 0 {
		what = names(waiting, maxNames)
	}
	m.log.info("shutdown: waiting",
		"phase", r.Phase.String(),
		"waiting_for", what,
		"in_flight", len(r.Unfinished),
		"took", round(r.Took),
		"left", round(r.Timeout-r.Took))
}

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

// logLeftovers shows where what did not end by the end of Drain is stuck.
func (m *Manager) logLeftovers() {
	r := m.Report()
	if waiting := r.waitingFor(); len(waiting) > 0 {
		m.log.warn("shutdown: drain ends with work left",
			"waiting_for", names(waiting, maxNames),
			"in_flight", len(r.Unfinished),
			"stacks", stacks(maxStacks))
	}
}

func (m *Manager) logEnded() {
	r := m.Report()
	level, args := slog.LevelInfo, []any{"report", r}
	if m.err != nil {
		level, args = slog.LevelError, append(args, "err", truncate(fmt.Sprint(m.err), maxErrText))
	}
	m.log.last(level, "shutdown: "+r.result(), args...)
}

func (m *Manager) dump(sig os.Signal) {
	r := m.Report()
	tasks := m.Tasks()
	m.log.warn("shutdown: dump",
		"signal", signalName(sig),
		"phase", r.Phase.String(),
		"in_flight", names(tasks, len(tasks)),
		"report", r,
		"stacks", stacks(maxDump))
}

const (
	maxNamesInError = 64  // is for the error of Wait; the Report has all
	maxTaskName     = 200 // so many letters of a name are in a line; the Report has all
)

// names lists at most limit tasks with their ages, and how many more there are.
func names(tasks []Task, limit int) string {
	var s strings.Builder
	for i, t := range tasks {
		if i == limit {
			fmt.Fprintf(&s, " and %d more", len(tasks)-i)
			break
		}
		if i > 0 {
			s.WriteString(", ")
		}
		fmt.Fprintf(&s, "%s (%v)", shorten(t.Name, maxTaskName), round(time.Since(t.Since)))
	}
	return s.String()
}

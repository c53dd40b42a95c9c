package shutdown

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/internal/clip"
)

// A Report says how a shutdown went, or how far it has come. String draws the
// timeline; in a log it is a group; in both, names and errors are shortened, and
// what is not to be seen, such as control characters, is replaced. In JSON
// durations are seconds, errors are their text, and what MarshalJSON wrote
// UnmarshalJSON reads.
type Report struct {
	Phase       Phase
	Cause       error     // given to Begin; nil for a request
	Forced      error     // nil unless the end was forced; matches ErrForced
	Begun       time.Time // zero while Running
	Took        time.Duration
	GracePeriod time.Duration
	GraceSource string // where GracePeriod was learnt; "guessed: ..." if nobody told us
	Timeout     time.Duration
	LameDuck    time.Duration
	Reserve     time.Duration
	Steps       []Step    // in the order in which they began
	Pending     []Step    // hooks that have not run yet, in the order in which they will
	Unfinished  []Task    // in flight now, or, from Close on, when Drain ended
	CutOff      []Task    // in flight when WorkContext ended, by the deadline or by force, or let in after that; whatever it did then
	CutOffAt    time.Time // when WorkContext ended, by the deadline or by force; zero if it did not
}

// A Step is the run of a hook, or, without a Name, a phase as a whole. A worker
// or a job that failed is a Step with phase Running.
type Step struct {
	Phase      Phase
	Name       string
	At         time.Duration // since Begun
	Took       time.Duration
	Err        error
	Running    bool
	LeftBehind bool   // it had not returned when its time was up
	BestEffort bool   // Err does not count; see BestEffort
	Kind       string // "job", or "start" for the function given to Run; else empty
}

// Report returns a copy of what is known now: live while the shutdown runs,
// final after Wait. It does not block.
func (m *Manager) Report() Report {
	// The tasks come first: what is marked as cut off was so after CutOffAt.
	inFlight, cut := m.tracker.Tasks(), m.tracker.cutTasks()
	r := m.reportButTasks()
	if r.Phase == Leave || r.Phase == Drain {
		r.Unfinished, r.CutOff = inFlight, cut
	}
	return r
}

func (m *Manager) reportButTasks() Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.budgetLocked()
	r := Report{
		Phase: m.Phase(), Cause: m.cause, Begun: m.begun, Took: m.took,
		GracePeriod: b.grace, GraceSource: b.source, Timeout: b.timeout, LameDuck: b.lameDuck, Reserve: b.reserve,
		Steps: slices.Clone(m.steps), Unfinished: slices.Clone(m.unfinished), CutOff: slices.Clone(m.cutOff), CutOffAt: m.cutAt,
	}
	if m.forced != nil {
		r.Forced = m.forced
	}
	for _, p := range []Phase{Leave, Drain, Close} {
		for i := range m.hooks {
			if p == Close {
				i = len(m.hooks) - 1 - i
			}
			if h := m.hooks[i]; h.phase == p {
				r.Pending = append(r.Pending, Step{Phase: p, Name: h.name})
			}
		}
	}
	if r.Phase != Running && r.Phase != Done {
		r.Took = time.Since(m.begun)
		for i := range r.Steps {
			if s := &r.Steps[i]; s.Running {
				s.Took = r.Took - s.At
			}
		}
	}
	return r
}

// result is the last line of the log in a word or two.
func (r Report) result() string {
	failed := r.Cause != nil && !isRequest(r.Cause)
	for _, s := range r.Steps {
		failed = failed || s.Err != nil && !s.BestEffort
	}
	switch {
	case r.Phase == Running:
		return "running"
	case r.Phase != Done:
		return "in " + r.Phase.String()
	case r.Forced != nil:
		return "forced"
	case r.timedOut():
		return "timed out"
	case failed:
		return "finished with errors"
	}
	return "finished"
}

// timedOut reports whether work was cut off or a hook left behind, for want of
// time.
func (r Report) timedOut() bool {
	return r.Forced == nil && (len(r.CutOff) > 0 || slices.ContainsFunc(r.Steps, func(s Step) bool { return s.LeftBehind && !s.BestEffort }))
}

// guessed reports whether nobody has said what the grace period is.
func (r Report) guessed() bool { return strings.HasPrefix(r.GraceSource, guessed) }

const (
	barWidth  = 60
	maxLabel  = 28
	maxRows   = 60
	maxReason = 100
	// Four phases of this, three lists, and an error are less than 8 KB.
	maxPhaseText = 800
	maxListText  = 500
)

// String draws the timeline: a bar for each phase and hook, to scale, with the
// beginning of the reserve (r), the timeout (T) and the kill (K) marked.
func (r Report) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "shutdown: %s", r.result())
	if !r.Begun.IsZero() {
		fmt.Fprintf(&s, " after %v", round(r.Took))
	}
	if r.Cause != nil {
		fmt.Fprintf(&s, ", cause: %s", firstLine(r.Cause))
	}
	if r.Forced != nil {
		fmt.Fprintf(&s, ", %s", firstLine(r.Forced))
	}
	fmt.Fprintf(&s, "\ngrace period %v (%s), timeout %v, reserve %v, lame duck %v\n",
		round(r.GracePeriod), graphic(r.GraceSource), round(r.Timeout), round(r.Reserve), round(r.LameDuck))

	if len(r.CutOff) > 0 {
		fmt.Fprintf(&s, "cut off: %s\n", counted(r.CutOff, r.CutOffAt))
	}
	if len(r.Unfinished) > 0 {
		when := "in flight"
		if r.Phase > Drain {
			when = "in flight when drain ended"
		}
		fmt.Fprintf(&s, "%s: %s\n", when, counted(r.Unfinished, r.asOf()))
	}
	scale := newScale(r)
	if len(r.Steps) > 0 {
		fmt.Fprintf(&s, "%-*s %s\n", maxLabel, "", scale.axis())
	}
	for i, step := range r.Steps {
		if i == maxRows {
			fmt.Fprintf(&s, "... and %d more\n", len(r.Steps)-i)
			break
		}
		label := "  " + step.Name
		if step.Name == "" {
			label = step.Phase.String()
		} else if step.Phase == Running {
			label = fmt.Sprintf("  %s %s", cmp.Or(step.Kind, "worker"), step.Name)
		}
		fmt.Fprintf(&s, "%-*s %s %s\n", maxLabel, shorten(label, maxLabel), scale.bar(step), step.outcome())
	}
	if len(r.Pending) > 0 {
		fmt.Fprintf(&s, "pending: %s\n", r.pending())
	}
	return strings.TrimSuffix(s.String(), "\n")
}

// LogValue makes the Report a group of a few attributes in a log, less than
// 6 KB of them, with the names that they have in JSON: the timeline in words, an
// attribute a phase, and one for workers and jobs.
func (r Report) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("result", r.result()), slog.Float64("took_seconds", inSeconds(r.Took))}
	list := func(name, text string, limit int) {
		if text != "" {
			attrs = append(attrs, slog.String(name, clip.To(text, limit)))
		}
	}
	list("cause", firstLine(r.Cause), maxListText)
	list("forced", firstLine(r.Forced), maxListText)
	attrs = append(attrs, slog.Float64("grace_period_seconds", inSeconds(r.GracePeriod)), slog.String("grace_source", shorten(r.GraceSource, maxReason)))
	list("workers", r.inWords(Running), maxPhaseText)
	for _, p := range []Phase{Leave, Drain, Close} {
		list(p.String(), r.inWords(p), maxPhaseText)
	}
	list("cut_off", counted(r.CutOff, r.CutOffAt), maxListText)
	list("unfinished", counted(r.Unfinished, r.asOf()), maxListText)
	list("pending", r.pending(), maxListText)
	return slog.GroupValue(attrs...)
}

// counted is "2 tasks: GET /a (2.3s), GET /b (1s)"; "" if there are none.
func counted(tasks []Task, asOf time.Time) string {
	if len(tasks) == 0 {
		return ""
	}
	return count(len(tasks), "task") + ": " + names(tasks, asOf, maxNames)
}

func (r Report) pending() string {
	var list []string
	for _, p := range r.Pending {
		list = append(list, p.Phase.String()+" "+shorten(p.Name, maxReason))
	}
	return atMost(maxRows, list)
}

// inWords is what happened in phase p: "5s: consul 300ms, ...".
func (r Report) inWords(p Phase) string {
	var whole string
	var hooks []string
	for _, s := range r.Steps {
		switch {
		case s.Phase != p:
		case s.Name == "":
			whole = fmt.Sprintf("%v: ", round(s.Took))
		default:
			hooks = append(hooks, shorten(s.Name, maxReason)+" "+s.outcome())
		}
	}
	return strings.TrimSuffix(whole+atMost(maxRows, hooks), ": ")
}

// outcome is how long a step took and, in words, what was wrong.
func (s Step) outcome() string {
	took := round(s.Took).String()
	switch {
	case s.LeftBehind && s.BestEffort:
		return took + " left behind (best effort)"
	case s.LeftBehind:
		return took + " left behind"
	case s.Running:
		return took + " running"
	case s.BestEffort:
		return took + " (best effort) " + firstLine(s.Err)
	case s.Err != nil:
		return took + " " + firstLine(s.Err)
	}
	return took
}

// inShort is where a shutdown is, in a line: "in drain, 22s after signal
// SIGTERM, waiting for GET /orders/17 (21.5s)".
func (r Report) inShort() string {
	s := fmt.Sprintf("in %s, %v after %s", r.Phase, round(r.Took), r.startedBy())
	if r.Forced != nil {
		s += ", forced"
	}
	if waiting := r.waitingFor(); len(waiting) > 0 {
		s += ", waiting for " + names(waiting, r.asOf(), maxNames)
	} else if r.Phase == Leave {
		s += ", waiting for the end of the lame duck"
	}
	return s
}

// startedBy is "signal SIGTERM".
func (r Report) startedBy() string {
	switch {
	case r.Cause == nil:
		return "a request"
	case isRequest(r.Cause):
		return firstLine(r.Cause)
	}
	return fmt.Sprintf("an error (%s)", firstLine(r.Cause))
}

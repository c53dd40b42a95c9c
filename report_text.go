package shutdown

import (
	"cmp"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/internal/clip"
)

// Result is the result in a word or two, as in the last line of the log: "finished",
// "finished with errors", "timed out" or "forced"; before the end "running" or "in drain".
func (r Report) Result() string {
	failed := r.Cause != nil && !isRequest(r.Cause) ||
		slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Err != nil && !s.BestEffort })
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

// timedOut reports whether work was cut off or a hook abandoned for lack of time.
func (r Report) timedOut() bool {
	return r.Forced == nil && (len(r.CutOff) > 0 || slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Abandoned && !s.BestEffort }))
}

const (
	barWidth     = 60
	maxLabel     = 28
	maxRows      = 60
	maxReason    = 100
	maxPhaseText = 800 // four of these, three lists and an error are less than 8 KB
	maxListText  = 500
)

// String draws the timeline: a bar for each phase and hook, to scale, with the
// beginning of the reserve (r), the timeout (T) and the kill (K) marked.
func (r Report) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "shutdown: %s", r.Result())
	if !r.Begun.IsZero() {
		fmt.Fprintf(&s, " after %v", clip.Round(r.Took))
	}
	if r.Cause != nil {
		fmt.Fprintf(&s, ", cause: %s", clip.FirstLine(r.Cause, maxReason))
	}
	if r.Forced != nil {
		fmt.Fprintf(&s, ", %s", clip.FirstLine(r.Forced, maxReason))
	}
	fmt.Fprintf(&s, "\ngrace period %v (%s), timeout %v, reserve %v, lame duck %v\n",
		clip.Round(r.GracePeriod), clip.Graphic(r.GraceSource), clip.Round(r.Timeout), clip.Round(r.Reserve), clip.Round(r.LameDuck))

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
		fmt.Fprintf(&s, "%-*s %s %s\n", maxLabel, clip.Line(label, maxLabel), scale.bar(step), step.outcome())
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
	attrs := []slog.Attr{slog.String("result", r.Result()), slog.Float64("took_seconds", inSeconds(r.Took))}
	list := func(name, text string, limit int) {
		if text != "" {
			attrs = append(attrs, slog.String(name, clip.To(text, limit)))
		}
	}
	list("cause", clip.FirstLine(r.Cause, maxReason), maxListText)
	list("forced", clip.FirstLine(r.Forced, maxReason), maxListText)
	attrs = append(attrs, slog.Float64("grace_period_seconds", inSeconds(r.GracePeriod)), slog.String("grace_source", clip.Line(r.GraceSource, maxReason)))
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
	return clip.Count(len(tasks), "task") + ": " + names(tasks, asOf, maxNames)
}

func (r Report) pending() string {
	var list []string
	for _, p := range r.Pending {
		list = append(list, p.Phase.String()+" "+clip.Line(p.Name, maxReason))
	}
	return clip.AtMost(maxRows, list)
}

// inWords is what happened in phase p: "5s: consul 300ms, ...".
func (r Report) inWords(p Phase) string {
	var whole string
	var hooks []string
	for _, s := range r.Steps {
		switch {
		case s.Phase != p:
		case s.Name == "":
			whole = fmt.Sprintf("%v: ", clip.Round(s.Took))
		default:
			hooks = append(hooks, clip.Line(s.Name, maxReason)+" "+s.outcome())
		}
	}
	return strings.TrimSuffix(whole+clip.AtMost(maxRows, hooks), ": ")
}

// outcome is how long a step took and, in words, what was wrong.
func (s Step) outcome() string {
	took := clip.Round(s.Took).String()
	switch {
	case s.Abandoned && s.BestEffort:
		return took + " abandoned (best effort)"
	case s.Abandoned:
		return took + " abandoned"
	case s.Running:
		return took + " running"
	case s.BestEffort:
		return took + " (best effort) " + clip.FirstLine(s.Err, maxReason)
	case s.Err != nil:
		return took + " " + clip.FirstLine(s.Err, maxReason)
	}
	return took
}

// inShort is where a shutdown is, in a line: "in drain, 22s after signal
// SIGTERM, waiting for GET /orders/17 (21.5s)".
func (r Report) inShort() string {
	s := fmt.Sprintf("in %s, %v after %s", r.Phase, clip.Round(r.Took), r.startedBy())
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
		return clip.FirstLine(r.Cause, maxReason)
	}
	return fmt.Sprintf("an error (%s)", clip.FirstLine(r.Cause, maxReason))
}

// asOf is the time of the Report.
func (r Report) asOf() time.Time { return r.Begun.Add(r.Took) }

// waitingFor lists what keeps the shutdown from going on, oldest first.
func (r Report) waitingFor() []Task {
	var waiting []Task
	for _, s := range r.Steps {
		if s.Running && s.Name != "" {
			waiting = append(waiting, Task{Name: fmt.Sprintf("%s hook %q", s.Phase, s.Name), Since: r.Begun.Add(s.At)})
		}
	}
	if r.Phase == Drain {
		waiting = append(waiting, r.Unfinished...)
	}
	slices.SortStableFunc(waiting, func(a, b Task) int { return a.Since.Compare(b.Since) })
	return waiting
}

// names lists tasks, oldest first, with their ages: those that have the same name
// together, and of different ones no more than most. The others are counted.
func names(tasks []Task, asOf time.Time, most int) string {
	type group struct {
		name   string
		n      int
		oldest time.Time
	}
	var groups []*group
	byName := make(map[string]*group)
	for _, t := range tasks {
		g := byName[t.Name]
		if g == nil {
			g = &group{t.Name, 0, t.Since}
			byName[t.Name], groups = g, append(groups, g)
		}
		g.n++
	}
	var s strings.Builder
	left := len(tasks)
	for i, g := range groups {
		if i == most {
			fmt.Fprintf(&s, " and %d more", left)
			break
		}
		if i > 0 {
			s.WriteString(", ")
		}
		name, age := clip.Line(g.name, maxTaskName), clip.Round(max(asOf.Sub(g.oldest), 0)) // what is late has none
		if g.n == 1 {
			fmt.Fprintf(&s, "%s (%v)", name, age)
		} else {
			fmt.Fprintf(&s, "%d x %s (oldest %v)", g.n, name, age)
		}
		left -= g.n
	}
	return s.String()
}

// inSeconds is a duration as logs have it, to the millisecond.
func inSeconds(d time.Duration) float64 { return math.Round(d.Seconds()*1e3) / 1e3 }

// A scale places times on a line of barWidth characters.
type scale struct {
	whole time.Duration
	marks []mark
}

type mark struct {
	at    time.Duration
	label byte
}

func newScale(r Report) scale {
	whole := max(r.GracePeriod, r.Timeout, r.Took, 1)
	return scale{whole, []mark{{r.Timeout - r.Reserve, 'r'}, {r.Timeout, 'T'}, {r.GracePeriod, 'K'}}}
}

func (s scale) column(at time.Duration) int {
	return min(max(int(float64(at)/float64(s.whole)*barWidth), 0), barWidth-1)
}

func (s scale) axis() string {
	line := []byte("0" + strings.Repeat("-", barWidth-1))
	for _, m := range s.marks {
		line[s.column(m.at)] = m.label
	}
	return string(line)
}

func (s scale) bar(step Step) string {
	line := []byte(strings.Repeat(" ", barWidth))
	for _, m := range s.marks {
		line[s.column(m.at)] = ':'
	}
	fill := byte('#')
	if step.Name == "" {
		fill = '='
	}
	for i := s.column(step.At); i <= s.column(step.At+step.Took); i++ {
		line[i] = fill
	}
	return string(line)
}

package admin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
)

// A chart is the timeline: the hooks that have run, and the pending ones with the time
// that each may take. Class and State are classes in page.css; X and Width are
// percentages of the width of the chart.
type chart struct {
	Title  string
	Now    string // X of the present; empty unless the shutdown runs
	Zones  []zone
	Ticks  []tick
	Marks  []mark // vertical lines through all rows
	Groups []group
}

// A zone is a part of the grace period.
type zone struct{ Class, Name, Length, X, Width string }

type tick struct{ X, Label, Anchor string }

type mark struct{ Class, X string }

// A group is a phase and its hooks, or what failed of one kind.
type group struct {
	phase shutdown.Phase
	kind  string // of the steps: Step.Kind

	Class, Name, Note, State string
	Bars                     []bar // of the phase as a whole
	Rows                     []row
}

type row struct {
	Name, Note, State string
	Error, Detail     string // the first line of the error; the whole error if it has more lines
	Bars              []bar
}

// A bar is a period of time that has passed or, with Class "plan", is to come.
type bar struct{ Class, X, Width string }

// A scale converts the times of r to positions.
type scale struct {
	r     shutdown.Report
	whole time.Duration
}

func newChart(r shutdown.Report) chart {
	sc := scale{r, max(r.GracePeriod, r.Timeout, r.Took, 1)}
	drainEnd := r.Timeout - r.Reserve // at the latest
	out := chart{Title: "Timeline", Ticks: sc.ticks()}
	if r.Phase == shutdown.Running {
		out.Title = "Timeline of a shutdown that starts now"
	}
	for _, z := range []struct {
		class, name string
		from, to    time.Duration
	}{
		{"leave", "lame duck", 0, r.LameDuck},
		{"drain", "drain, at most", r.LameDuck, drainEnd},
		{"close", "close, reserved", drainEnd, r.Timeout},
		{"margin", "margin", r.Timeout, r.GracePeriod},
	} {
		if z.to > z.from {
			out.Zones = append(out.Zones, zone{z.class, z.name, human(z.to - z.from), percent(z.from, sc.whole), percent(z.to-z.from, sc.whole)})
		}
	}
	out.Marks = []mark{{"reserve", percent(drainEnd, sc.whole)}, {"timeout", percent(r.Timeout, sc.whole)}, {"kill", percent(r.GracePeriod, sc.whole)}}
	if r.Phase != shutdown.Running && r.Phase != shutdown.Done {
		out.Now = percent(r.Took, sc.whole)
		out.Marks = append(out.Marks, mark{"now", out.Now})
	}
	out.Groups = sc.groups()
	return out
}

// groups sorts the steps and the pending hooks into their groups. The groups of phase
// Running have only what failed, and are shown only if something did.
func (sc scale) groups() []group {
	groups := []group{
		{phase: shutdown.Running, kind: "start", Class: "worker", Name: "Start"},
		{phase: shutdown.Running, kind: "job", Class: "worker", Name: "Jobs"},
		{phase: shutdown.Running, kind: "", Class: "worker", Name: "Workers"},
		{phase: shutdown.Leave, Class: "leave", Name: "Leave", Note: "all at once"},
		{phase: shutdown.Drain, Class: "drain", Name: "Drain", Note: "all at once"},
		{phase: shutdown.Close, Class: "close", Name: "Close", Note: "one after another"},
	}
	groupOf := func(s shutdown.Step) *group {
		return &groups[slices.IndexFunc(groups, func(g group) bool { return g.phase == s.Phase && g.kind == s.Kind })]
	}
	for _, s := range sc.r.Steps {
		g := groupOf(s)
		if s.Name == "" {
			g.Bars, g.Note = append(g.Bars, sc.span("phase", s.At, s.Took)), human(s.Took)
			if n := len(sc.r.CutOff); n > 0 && s.Phase == shutdown.Drain {
				g.State, g.Note = "bad", fmt.Sprintf("%s, %d cut off", g.Note, n)
			}
			continue
		}
		run := sc.ran(s)
		if s.Running && s.Ends > 0 {
			run.Bars = append(run.Bars, sc.span("plan", s.At+s.Took, s.Ends-s.At-s.Took))
			run.Note += " of " + human(s.Ends-s.At)
		}
		g.Rows = append(g.Rows, run)
	}
	for _, s := range sc.r.Pending {
		g := groupOf(s)
		pending := row{Name: shown(s.Name, maxName), State: "pending"}
		if s.Ends > 0 { // it is 0 after Force, when no time is known
			limit := "up to "
			if s.Phase == shutdown.Close { // more if the hooks before it need less than their time
				limit = "at least "
			}
			pending.Bars, pending.Note = []bar{sc.span("plan", s.At, s.Ends-s.At)}, limit+human(s.Ends-s.At)
		}
		g.Rows = append(g.Rows, pending)
	}
	return slices.DeleteFunc(groups, func(g group) bool { return g.phase == shutdown.Running && len(g.Rows) == 0 })
}

// ran returns the row of a hook that runs or has run.
func (sc scale) ran(s shutdown.Step) row {
	run := row{Name: shown(s.Name, maxName), Note: human(s.Took), State: "ok"}
	switch {
	case s.Abandoned:
		run.State, run.Note = "bad", run.Note+", abandoned"
	case s.Running:
		run.State = "running"
	case s.Err != nil:
		run.State, run.Note = "bad", run.Note+", failed"
		var more bool
		text := shown(fmt.Sprint(s.Err), maxText) // Sprint recovers if Error panics
		if run.Error, _, more = strings.Cut(text, "\n"); more {
			run.Detail = text
		}
	}
	if s.BestEffort && run.State == "bad" {
		run.State, run.Note = "warn", run.Note+" (best effort)"
	}
	narrowest := sc.whole / 200 // wide enough to be seen
	run.Bars = []bar{sc.span(run.State, s.At, max(s.Took, narrowest))}
	return run
}

func (sc scale) span(class string, from, length time.Duration) bar {
	return bar{class, percent(from, sc.whole), percent(length, sc.whole)}
}

// ticks returns up to eight ticks at round times.
func (sc scale) ticks() []tick {
	step := 100 * time.Millisecond
	for i := 0; sc.whole/step > 7; i++ { // 100 ms, 200 ms, 500 ms, 1 s, 2 s, 5 s, ...
		if i%3 == 1 {
			step = step * 5 / 2
		} else {
			step *= 2
		}
	}
	var list []tick
	for at := time.Duration(0); at <= sc.whole; at += step {
		anchor := "middle"
		switch {
		case at == 0:
			anchor = "start"
		case sc.whole-at < step/3:
			anchor = "end"
		}
		list = append(list, tick{percent(at, sc.whole), human(at), anchor})
	}
	return list
}

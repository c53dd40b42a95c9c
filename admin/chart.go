package admin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
)

// A chart is the budget as a picture: what has run, and what is to come with
// the time that it may take.
type chart struct {
	Title  string
	Now    string // its place, while the shutdown runs
	Zones  []zone
	Ticks  []tick
	Marks  []mark // lines through all rows
	Groups []group
}

// A zone is a part of the grace period.
type zone struct{ Class, Name, Length, X, Width string }

type tick struct{ X, Label, Anchor string }

type mark struct{ Class, X string }

// A group is a phase and its hooks.
type group struct {
	Class, Name, Note string
	State             string // as of a row
	Bars              []bar  // of the phase as a whole
	Rows              []row
}

type row struct {
	Name, Note, State string // the State is a class
	Error, Detail     string // its first line, and all of it if there is more
	Bars              []bar
}

// A bar is a span of time; its Class says whether it is history or plan.
type bar struct{ Class, X, Width string }

// A charter draws on one scale.
type charter struct {
	r     shutdown.Report
	whole time.Duration
}

func newChart(r shutdown.Report) chart {
	c := charter{r, max(r.GracePeriod, r.Timeout, r.Took, 1)}
	drainEnd := r.Timeout - r.Reserve
	out := chart{Title: "Timeline", Ticks: c.ticks()}
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
			out.Zones = append(out.Zones, zone{z.class, z.name, human(z.to - z.from), percent(z.from, c.whole), percent(z.to-z.from, c.whole)})
		}
	}
	out.Marks = []mark{{"reserve", percent(drainEnd, c.whole)}, {"timeout", percent(r.Timeout, c.whole)}, {"kill", percent(r.GracePeriod, c.whole)}}
	if r.Phase != shutdown.Running && r.Phase != shutdown.Done {
		out.Now = percent(r.Took, c.whole)
		out.Marks = append(out.Marks, mark{"now", out.Now})
	}
	out.Groups = c.groups()
	return out
}

// groups puts what has run and what is to come under its phase.
func (c charter) groups() []group {
	groups := []group{
		// The first three are in the order of place, and have only what failed.
		{Class: "worker", Name: "Start"},
		{Class: "worker", Name: "Jobs"},
		{Class: "worker", Name: "Workers"},
		{Class: "leave", Name: "Leave", Note: "all at once"},
		{Class: "drain", Name: "Drain", Note: "all at once"},
		{Class: "close", Name: "Close", Note: "one after another"},
	}
	for _, s := range c.r.Steps {
		g := &groups[place(s)]
		if s.Name == "" {
			g.Bars, g.Note = append(g.Bars, c.span("phase", s.At, s.Took)), human(s.Took)
			if n := len(c.r.CutOff); n > 0 && s.Phase == shutdown.Drain {
				g.State, g.Note = "bad", fmt.Sprintf("%s, %d cut off", g.Note, n)
			}
			continue
		}
		run := c.ran(s)
		if s.Running && s.Ends > 0 {
			run.Bars = append(run.Bars, c.span("plan", s.At+s.Took, s.Ends-s.At-s.Took))
			run.Note += " of " + human(s.Ends-s.At)
		}
		g.Rows = append(g.Rows, run)
	}
	for _, s := range c.r.Pending {
		g := &groups[place(s)]
		to := row{Name: shown(s.Name, maxName), State: "pending"}
		if s.Ends > 0 { // after Force it will run, but when is another matter
			atLeast := "up to "
			if s.Phase == shutdown.Close { // earlier hooks may leave some of their time
				atLeast = "at least "
			}
			to.Bars, to.Note = []bar{c.span("plan", s.At, s.Ends-s.At)}, atLeast+human(s.Ends-s.At)
		}
		g.Rows = append(g.Rows, to)
	}
	return slices.DeleteFunc(groups, func(g group) bool { return g.Class == "worker" && len(g.Rows) == 0 })
}

// place is the index of the group of a step.
func place(s shutdown.Step) int {
	const workers = 2 // phase Running, unless the kind says otherwise
	switch {
	case s.Phase == shutdown.Running && s.Kind == "start":
		return workers - 2
	case s.Phase == shutdown.Running && s.Kind == "job":
		return workers - 1
	}
	return workers + int(s.Phase)
}

// ran is the row of a hook that runs or has run.
func (c charter) ran(s shutdown.Step) row {
	run := row{Name: shown(s.Name, maxName), Note: human(s.Took), State: "ok"}
	switch {
	case s.LeftBehind:
		run.State, run.Note = "bad", run.Note+", left behind"
	case s.Running:
		run.State = "running"
	case s.Err != nil:
		run.State, run.Note = "bad", run.Note+", failed"
		var more bool
		text := shown(fmt.Sprint(s.Err), maxText) // Sprint survives an Error that panics
		if run.Error, _, more = strings.Cut(text, "\n"); more {
			run.Detail = text
		}
	}
	if s.BestEffort && run.State == "bad" {
		run.State, run.Note = "warn", run.Note+" (best effort)"
	}
	visible := c.whole / 200 // what took no time is on the picture too
	run.Bars = []bar{c.span(run.State, s.At, max(s.Took, visible))}
	return run
}

func (c charter) span(class string, from, length time.Duration) bar {
	return bar{class, percent(from, c.whole), percent(length, c.whole)}
}

// ticks are at round times, four to eight of them.
func (c charter) ticks() []tick {
	step := 100 * time.Millisecond
	for i := 0; c.whole/step > 7; i++ { // 200 ms, 500 ms, 1 s, 2 s, 5 s, ...
		if i%3 == 1 {
			step = step * 5 / 2
		} else {
			step *= 2
		}
	}
	var list []tick
	for at := time.Duration(0); at <= c.whole; at += step {
		anchor := "middle"
		switch {
		case at == 0:
			anchor = "start"
		case c.whole-at < step/3:
			anchor = "end"
		}
		list = append(list, tick{percent(at, c.whole), human(at), anchor})
	}
	return list
}

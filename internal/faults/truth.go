package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
)

// tellsTheTruth: work that was in flight when WorkContext ended by the deadline or
// by force, or that was let in later, is named in CutOff exactly as often, whatever
// it did afterwards, and work that had ended before is not. Wait's error, the exit
// code, the result and the last log line say so.
func tellsTheTruth(o Outcome) (wrong []string) {
	end, _ := o.end()
	if end == nil {
		return nil
	}
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	named, work := o.cutOff(), o.cutWork()
	names := maps.Clone(named)
	certain := 0
	for name, cut := range work {
		names[name] += 0
		certain += cut.least
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		cut := work[name]
		if n := named[name]; n < cut.least {
			say("%d x %s was cut off, and the Report names %d: %q", cut.least, name, n, end.Result)
		} else if n > cut.most {
			say("the Report says that %d x %s was cut off, and no more than %d were in flight", n, name, cut.most)
		}
	}
	if certain > 0 && end.ExitCode == 0 {
		say("work was cut off, and the exit code is 0")
	}
	if certain > 0 && end.Result == "finished" {
		say(`work was cut off, and the result is "finished"`)
	}
	if last := o.lastLines(); certain > 0 && o.Plan.Logger == "" && len(last) == 1 && last[0].Level != "ERROR" {
		say("work was cut off, and the last log line is %s", last[0].Level)
	}
	if len(end.Report.CutOff) > 0 {
		wrong = append(wrong, cutOffIsSaid(o, end)...)
	}
	return wrong
}

// A cutRange says how often a piece of work was cut off.
type cutRange struct{ least, most int }

// endLead is how long before a piece of work stops being in flight the journal may
// have its end: the two follow each other, unless the process is not scheduled.
const endLead = 5 * time.Millisecond

// cutWork counts what was cut off, by name, from the journal alone. In flight is
// what has a start and no end, so what ended just before WorkContext did may have
// been cut off as well.
func (o Outcome) cutWork() map[string]cutRange {
	_, at := o.end()
	work := make(map[string]cutRange)
	add := func(name string, least, most int) {
		w := work[name]
		work[name] = cutRange{w.least + least, w.most + most}
	}
	over, wasCut := o.workOver()
	for _, e := range o.Journal {
		switch {
		case e.At.After(at) || e.Kind != workStarted && e.Kind != workEnded:
		case e.Kind == workStarted && wasCut:
			add(e.Name, 1, 1)
		case e.Kind == workStarted:
		case e.Cut && unjournaled[e.Name]:
			add(e.Name, 1, 1)
		case !wasCut && e.Cut:
			add(e.Name, 1, 1) // the journal knows nothing of the end of WorkContext
		case e.Cut || !wasCut:
		case e.At.Before(over.Add(-o.endLead(e.Name))):
			add(e.Name, -1, -1)
		default:
			add(e.Name, -1, 0)
		}
	}
	if wasCut {
		// Each client has one request at a time, and of those to /reset the journal
		// says nothing.
		add("POST /", 0, o.Plan.Load.Clients+o.Plan.Clients[callsItself])
		add("GET /reset", 0, len(o.cutOffTasks()))
		for i, w := range o.Plan.Work {
			name := fmt.Sprintf("%s %d", w.Kind, i)
			if _, begun := o.first(workStarted, name); !begun && o.wasBusy() && (w.Kind == worker || w.Kind == job) {
				add(name, 0, 1) // it is in flight before it writes that down
			}
		}
	}
	return work
}

// endLead is endLead and what a stall adds. A response of HTTP/2 that tells the
// client to leave is held for up to 100 ms when its handler has returned.
func (o Outcome) endLead(name string) time.Duration {
	lead := endLead + o.stall()
	if name == "GET /slow" {
		lead += 100 * time.Millisecond
	}
	if o.Plan.Stop != nil {
		lead += o.Plan.Stop.For.D()
	}
	return lead
}

// workOver returns when WorkContext ended, and whether by the deadline or by force.
func (o Outcome) workOver() (at time.Time, wasCut bool) {
	e, known := o.first(workCanceled, "")
	if !known { // there was no time left to write it down
		_, at = o.end()
		return at, len(o.cutOffTasks()) > 0
	}
	return e.At, strings.HasPrefix(e.Error, shutdown.ErrForced.Error()) || strings.HasPrefix(e.Error, shutdown.ErrTimeout.Error())
}

func (o Outcome) cutOffTasks() []shutdown.Task {
	end, _ := o.end()
	if end == nil {
		return nil
	}
	return end.Report.CutOff
}

// lastLines are the log lines that say how it ended. There should be one.
func (o Outcome) lastLines() (last []LogLine) {
	for _, l := range o.Log {
		if word, ok := strings.CutPrefix(l.Msg, "shutdown: "); ok && slices.Contains(results, word) {
			last = append(last, l)
		}
	}
	return last
}

// cutOffIsSaid: what the Report names in CutOff is in Wait's error, in the exit
// code, the result and the log.
func cutOffIsSaid(o Outcome, end *End) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	n := len(end.Report.CutOff)
	tasks := fmt.Sprintf("%d tasks", n)
	if n == 1 {
		tasks = "1 task"
	}
	if end.ExitCode == 0 || end.Result == "finished" || end.Result == "finished with errors" {
		say("the Report names what was cut off, the result is %q, and the exit code %d", end.Result, end.ExitCode)
	}
	kind, is := "ErrTimeout, which is context.DeadlineExceeded", end.TimedOut && end.Deadline
	if e, _ := o.first(workCanceled, ""); strings.HasPrefix(e.Error, shutdown.ErrForced.Error()) {
		kind, is = "ErrForced", end.Forced
	}
	if !is {
		say("work was cut off, and Wait's error is not %s: %q", kind, end.Error)
	}
	if !strings.Contains(end.Error, tasks+" cut off") {
		say("Wait's error does not say %q: %q", tasks+" cut off", end.Error)
	}
	for name := range o.cutOff() {
		if !strings.Contains(end.Error, name) && !strings.Contains(end.Error, " more") {
			say("Wait's error does not name %s, which was cut off, and counts no others: %q", name, end.Error)
		}
	}
	for _, l := range o.lastLines() {
		if o.Plan.Logger == "" && (l.Level != "ERROR" || !strings.HasPrefix(l.Report.CutOff, tasks+": ")) {
			say("%s cut off, and the last log line has the level %s and says %q", tasks, l.Level, l.Report.CutOff)
		}
	}
	return wrong
}

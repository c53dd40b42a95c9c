package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
)

// tellsTheTruth checks that CutOff names all work that was in flight when WorkContext
// ended by the deadline or by force, and all work that was admitted later, whatever
// it did afterwards, and no work that had ended before. Wait's error, the exit code,
// the result and the last log line have to agree.
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
		wrong = append(wrong, cutOffAgrees(o, end)...)
	}
	return wrong
}

// A cutRange says how often a piece of work was cut off.
type cutRange struct{ least, most int }

// endLead is how long before a piece of work leaves the library's list the journal
// may have its end, in a process that is scheduled.
const endLead = 5 * time.Millisecond

// cutWork counts the work that was cut off by name, from the journal alone. Work with
// a start and no end was in flight. Work that ended just before WorkContext did may
// have been cut off too.
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
			add(e.Name, 1, 1) // the end of WorkContext is not in the journal
		case e.Cut || !wasCut:
		case e.At.Before(over.Add(-o.endLead(e.Name))):
			add(e.Name, -1, -1)
		default:
			add(e.Name, -1, 0)
		}
	}
	if wasCut {
		// Each client has one request at a time. Requests for /reset are not in the
		// journal.
		add("POST /", 0, o.Plan.Load.Clients+o.Plan.Clients[callsItself])
		add("GET /reset", 0, len(o.cutOffTasks()))
		for i, w := range o.Plan.Work {
			name := fmt.Sprintf("%s %d", w.Kind, i)
			if _, begun := o.first(workStarted, name); !begun && o.wasBusy() && (w.Kind == worker || w.Kind == job) {
				add(name, 0, 1) // it is in flight before the journal has its start
			}
		}
	}
	return work
}

// endLead adds stalls and SIGSTOP to the constant endLead. An HTTP/2 response on a
// connection that is being drained is held for up to 100 ms after its handler has
// returned.
func (o Outcome) endLead(name string) time.Duration {
	lead := endLead + o.stall() + o.Plan.stopped()
	if name == "GET /slow" {
		lead += 100 * time.Millisecond
	}
	return lead
}

// workOver returns when WorkContext ended, and whether by the deadline or by force.
func (o Outcome) workOver() (at time.Time, wasCut bool) {
	e, known := o.first(workCanceled, "")
	if !known { // there was no time left to write it to the journal
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

// lastLines returns the log lines that have the result. There should be one.
func (o Outcome) lastLines() (last []LogLine) {
	for _, l := range o.Log {
		if word, ok := strings.CutPrefix(l.Msg, "shutdown: "); ok && slices.Contains(results, word) {
			last = append(last, l)
		}
	}
	return last
}

// cutOffAgrees checks that Wait's error, the exit code, the result and the log agree
// with Report.CutOff.
func cutOffAgrees(o Outcome, end *End) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	n := len(end.Report.CutOff)
	tasks := fmt.Sprintf("%d tasks", n)
	if n == 1 {
		tasks = "1 task"
	}
	if end.ExitCode == 0 || end.Result == "finished" || end.Result == "finished with errors" {
		say("the Report names work that was cut off, the result is %q, and the exit code %d", end.Result, end.ExitCode)
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
			say("Wait's error does not name %s, which was cut off, and does not count more: %q", name, end.Error)
		}
	}
	for _, l := range o.lastLines() {
		if o.Plan.Logger == "" && (l.Level != "ERROR" || !strings.HasPrefix(l.Report.CutOff, tasks+": ")) {
			say("%s cut off, and the last log line has the level %s and says %q", tasks, l.Level, l.Report.CutOff)
		}
	}
	return wrong
}

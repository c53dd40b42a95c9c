package faults

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gracefulgo/shutdown"
)

// bestEffortAgrees checks that the error of a hook made with BestEffort is in the
// Report and the log but does not count, that its panic counts, and that its limit
// is kept.
func bestEffortAgrees(o Outcome, end *End) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	limits := make(map[string]Hook)
	for _, h := range o.Plan.hooks() {
		if h.Limit > 0 {
			limits[h.Name] = h
		}
	}
	for _, s := range end.Report.Steps {
		h, bestEffort := limits[s.Name]
		quoted := fmt.Sprintf("%q", s.Name)
		started, hasStarted := o.first(hookStarted, s.Name)
		switch counts := (h.Does == hookPanics || h.Does == hookGoexits) && !s.Abandoned; {
		case !bestEffort && s.BestEffort:
			say("%s is no best effort, and the Report says so", s.Name)
		case !bestEffort:
		case s.Took > h.Limit.D()+o.delay():
			say("%s took %v, and its limit is %v", s.Name, s.Took, h.Limit.D())
		case s.Err == nil && s.BestEffort:
			say("%s succeeded, and is marked as a best effort that failed", s.Name)
		case s.Err == nil:
		case counts && s.BestEffort:
			say("%s %s, and the Report says that this does not count", s.Name, h.Does)
		case counts && !strings.Contains(end.Error, quoted):
			say("%s %s, and Wait's error does not say so: %q", s.Name, h.Does, end.Error)
		case counts:
		case !s.BestEffort && hasStarted && started.At.Before(end.Report.Begun.Add(s.At+s.Took)):
			say("%s is a best effort, and the Report does not say so: %v", s.Name, s.Err)
		case !s.BestEffort: // it was abandoned before it started
		case strings.Contains(end.Error, quoted):
			say("%s is a best effort, and Wait's error has it: %q", s.Name, end.Error)
		case o.Plan.Logger == "" && !o.logged("WARN", quoted):
			say("%s is a best effort that failed, and there is no WARN", s.Name)
		case o.Plan.Logger == "" && o.logged("ERROR", quoted):
			say("%s is a best effort, and there is an ERROR", s.Name)
		}
	}
	return wrong
}

// logged reports whether a log line of that level names what in its error.
func (o Outcome) logged(level, what string) bool {
	return slices.ContainsFunc(o.Log, func(l LogLine) bool {
		return l.Level == level && strings.Contains(l.Error, what)
	})
}

// resultAgrees checks that the result follows from the Report. The error of a best
// effort is no reason for another result than "finished".
func resultAgrees(_ Outcome, end *End) (wrong []string) {
	r := end.Report
	failed := slices.ContainsFunc(r.Steps, func(s shutdown.Step) bool { return s.Err != nil && !s.BestEffort })
	late := len(r.CutOff) > 0 || slices.ContainsFunc(r.Steps, func(s shutdown.Step) bool { return s.Abandoned && !s.BestEffort })
	cause := r.Cause != nil && !isRequest(r.Cause.Error())
	want := "finished"
	switch {
	case r.Forced != nil:
		want = "forced"
	case late:
		want = "timed out"
	case failed || cause:
		want = "finished with errors"
	}
	if end.Result != want {
		wrong = append(wrong, fmt.Sprintf("the result is %q, and by the Report it should be %q", end.Result, want))
	}
	return wrong
}

package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
)

// workersAgree checks that Report, Wait's error, exit code and log agree with what
// workers, jobs and the start of the program returned.
func workersAgree(o Outcome, end *End) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	begun, _ := o.first(acceptCanceled, "")
	for _, e := range o.all(workEnded) {
		kind, ok := workerKind(e.Name)
		if !ok || !o.isRecorded(e, end) {
			continue
		}
		stopped := !begun.At.IsZero() && e.At.After(begun.At.Add(endLead+o.stall()))
		step, failed := workerStep(end, e.Name)
		switch {
		case e.Error == "":
			if failed {
				say("%s returned nil, and the Report says: %v", e.Name, step.Err)
			}
		case kind != job && e.Canceled && o.cutOff()[e.Name] == 0:
			logged := slices.ContainsFunc(o.Log, func(l LogLine) bool {
				return l.Msg == "shutdown: worker stopped" && l.Level == "INFO" && l.Worker == e.Name && l.Error == e.Error
			})
			if failed {
				say("%s returned its context's error (%s), and the Report says that it failed: %v", e.Name, e.Error, step.Err)
			}
			if !logged && o.Plan.Logger == "" {
				say("%s returned its context's error (%s), and the log does not say so", e.Name, e.Error)
			}
		case !failed || !strings.Contains(step.Err.Error(), e.Error):
			say("%s failed (%s), and the Report says nothing", e.Name, e.Error)
		case step.Kind != kind && (kind != worker || step.Kind != ""):
			say("%s is a %s, and a %q in the Report", e.Name, kind, step.Kind)
		case kind == job && stopped && !strings.Contains(step.Err.Error(), "did not finish"):
			say("%s failed after the shutdown had begun, and the Report does not say that it did not finish: %v", e.Name, step.Err)
		case !strings.Contains(end.Error, e.Error):
			say("%s failed (%s), and Wait's error does not say so: %q", e.Name, e.Error, end.Error)
		case end.ExitCode == 0:
			say("%s failed, and the exit code is 0", e.Name)
		}
	}
	return wrong
}

// jobsAgree checks that each job either ran or is reported as "not started".
func jobsAgree(o Outcome, end *End) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, e := range o.all(jobRegistered) {
		_, ran := o.first(workStarted, e.Name)
		step, failed := workerStep(end, e.Name)
		refused := failed && strings.Contains(step.Err.Error(), "not started")
		switch {
		case ran && refused:
			say("%s ran, and the Report says that it was not started", e.Name)
		case ran || o.cutOff()[e.Name] > 0 || e.Error != "" || !o.isRecorded(e, end):
		case !refused:
			say("%s did not run, and the Report does not say so", e.Name)
		case step.Kind != job:
			say("%s is a %q in the Report", e.Name, step.Kind)
		case !strings.Contains(end.Error, fmt.Sprintf("%q: not started", e.Name)):
			say("%s was not started, and Wait's error does not say so: %q", e.Name, end.Error)
		case end.ExitCode == 0:
			say("%s was not started, and the exit code is 0", e.Name)
		}
	}
	return wrong
}

// isRecorded reports whether an event was so long before the end that the Report has
// to contain it.
func (o Outcome) isRecorded(e Event, end *End) bool {
	ended := end.Report.Begun.Add(end.Report.Took)
	return e.At.Before(ended.Add(-10*time.Millisecond - o.stall()))
}

// workerKind returns the library's name for the kind of a piece of work; ok is false
// if it is neither a worker, nor a job, nor the start of the program.
func workerKind(name string) (kind string, ok bool) {
	switch {
	case name == startName:
		return startName, true
	case strings.HasPrefix(name, worker+" "):
		return worker, true
	case strings.HasPrefix(name, job+" "):
		return job, true
	}
	return "", false
}

// workerStep returns the Report's step for a worker or a job that failed.
func workerStep(end *End, name string) (shutdown.Step, bool) {
	i := slices.IndexFunc(end.Report.Steps, func(s shutdown.Step) bool {
		return s.Phase == shutdown.Running && s.Name == name && s.Err != nil
	})
	if i < 0 {
		return shutdown.Step{}, false
	}
	return end.Report.Steps[i], true
}

package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
)

// causeAgrees checks that the shutdown began for one of these reasons, and soon
// after it: a signal, the failure of a worker, a job or the start of the program, or
// the return of the last job.
func causeAgrees(o Outcome, end *End) (wrong []string) {
	begun, known := o.first(acceptCanceled, "")
	if !known {
		return []string{"the shutdown has ended, and AcceptContext has not"}
	}
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	jobsDone, anyJobs := o.jobsDone()
	cause := errorText(end.Report.Cause)
	name, isSignal := strings.CutPrefix(begun.Error, "signal SIG")
	switch {
	case isSignal:
		if !slices.ContainsFunc(o.Sent, func(s Sent) bool { return s.Name == name && s.At.Before(begun.At) }) {
			say("%s began the shutdown, and was not sent before", begun.Error)
		}
	case begun.Error == lastJobCause:
		if !anyJobs || jobsDone.After(begun.At.Add(endLead+o.stall())) {
			say("the shutdown began without a cause, and not all jobs had returned")
		}
	case !slices.ContainsFunc(o.Journal, func(e Event) bool {
		return (e.Kind == workEnded || e.Kind == startEnded) && e.Error != "" && strings.Contains(begun.Error, e.Error) && e.At.Before(begun.At)
	}):
		say("the cause of the shutdown is not an error that was returned before: %s", begun.Error)
	case end.ExitCode == 0 || !strings.Contains(end.Error, begun.Error):
		say("the shutdown began because of %q, the exit code is %d, and Wait's error %q", begun.Error, end.ExitCode, end.Error)
	}
	if cause != begun.Error {
		say("the cause of AcceptContext's end is %q, and that of the Report %q", begun.Error, cause)
	}
	if anyJobs && !jobsDone.IsZero() && begun.At.Sub(jobsDone) > o.delay() {
		say("the last job returned %v before the shutdown began", begun.At.Sub(jobsDone))
	}
	for _, e := range o.all(workEnded) {
		if _, ok := workerKind(e.Name); ok && e.Error != "" && begun.At.Sub(e.At) > o.delay() {
			say("%s failed %v before the shutdown began", e.Name, begun.At.Sub(e.At))
		}
	}
	return wrong
}

// jobsDone returns when all jobs that ran had returned nil and Wait had been called;
// ran reports whether any job ran. The time is zero if a job has not returned or has
// failed.
func (o Outcome) jobsDone() (at time.Time, ran bool) {
	start, returned := o.first(startEnded, "")
	if !returned || start.Error != "" {
		return time.Time{}, false
	}
	at = start.At
	for _, e := range o.all(jobRegistered) {
		if _, started := o.first(workStarted, e.Name); !started {
			continue
		}
		ran = true
		ended, ok := o.first(workEnded, e.Name)
		if !ok || ended.Error != "" {
			return time.Time{}, true
		}
		if ended.At.After(at) {
			at = ended.At
		}
	}
	return at, ran
}

// startAgrees checks that a start which failed is the cause of a shutdown without a
// lame duck, and that Run ended as start did: by a return, a panic or a Goexit.
func startAgrees(o Outcome, end *End) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	e, ended := o.first(startEnded, "")
	_, at := o.end()
	if !ended || e.At.After(at) {
		if !end.TimedOut || !strings.Contains(end.Error, "start: did not return in time") || end.ExitCode == 0 {
			say("start has not returned, the exit code is %d, and Run's error: %q", end.ExitCode, end.Error)
		}
		return wrong
	}
	if e.Error != "" && strings.Contains(errorText(end.Report.Cause), e.Error) && end.Report.LameDuck != 0 {
		say("start failed, and there was a lame duck of %v", end.Report.LameDuck)
	}
	want := ""
	if strings.HasPrefix(e.Error, "panic: ") || e.Error == "runtime.Goexit was called" {
		want = e.Error
	}
	if !strings.HasPrefix(end.RunEnded, want) || want == "" && end.RunEnded != "" {
		if at.Sub(e.At) > endLead+o.stall() { // otherwise Run may have returned before
			say("start ended with %q, and Run with %q", e.Error, end.RunEnded)
		}
	}
	return wrong
}

// reachedAgrees checks that the channel of each phase is closed when the phase
// begins, and all of them before Wait returns.
func reachedAgrees(o Outcome, end *End) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if len(end.NotReached) > 0 {
		say("Wait has returned, and these phases are not reached: %v", end.NotReached)
	}
	for name, phase := range phases {
		began, _ := o.phase(phase)
		switch phase {
		case shutdown.Leave: // its step begins after the first log line
			began = end.Report.Begun
		case shutdown.Done:
			began = end.Report.Begun.Add(end.Report.Took)
		}
		e, ok := o.first(phaseReached, name)
		switch {
		case !ok:
			if _, at := o.end(); phase != shutdown.Done && at.Sub(began) > o.delay() {
				say("phase %s began, and its channel was not closed", name)
			}
		case began.Sub(e.At) > endLead+o.stall():
			say("the channel of phase %s was closed %v before it began", name, began.Sub(e.At))
		case e.At.Sub(began) > o.delay():
			say("the channel of phase %s was closed %v after it began", name, e.At.Sub(began))
		}
	}
	return wrong
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

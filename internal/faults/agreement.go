package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
)

// agrees checks that exit code, Report, log and record agree with each other and
// with what happened. The checks are in the files agreement*.go.
func agrees(o Outcome) (wrong []string) {
	end, _ := o.end()
	if end == nil {
		return nil
	}
	for _, check := range []func(Outcome, *End) []string{
		exitCodeAgrees, resultAgrees, logAgrees, recordAgrees, stepsAgree, bestEffortAgrees, causeAgrees, startAgrees,
		reachedAgrees, workersAgree, jobsAgree, forcedAgrees, unfinishedAgrees,
	} {
		wrong = append(wrong, check(o, end)...)
	}
	return wrong
}

func exitCodeAgrees(o Outcome, end *End) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if o.EndedBy != "" || o.ExitCode != end.ExitCode {
		if o.Killed == "" && !o.killedAfterEnd() && !o.mayBeKilled() {
			say("the process ended with status %d, signal %q, and should have with %d", o.ExitCode, o.EndedBy, end.ExitCode)
		}
	}
	want := 1
	switch {
	case end.Result == "finished":
		want = 0
	case end.Report.Forced != nil:
		_, cause, _ := strings.Cut(end.Report.Forced.Error(), "signal ")
		if n, ok := signalNumbers[strings.TrimPrefix(cause, "SIG")]; ok {
			want = 128 + n
		}
	}
	if end.ExitCode != want {
		say("the result is %q, and the exit code %d, not %d", end.Result, end.ExitCode, want)
	}
	if (end.Error == "") != (end.ExitCode == 0) {
		say("the exit code is %d, and the error %q", end.ExitCode, end.Error)
	}
	if end.Report.Phase != shutdown.Done {
		say("after Wait the phase is %v", end.Report.Phase)
	}
	if len(end.Report.Pending) > 0 {
		say("after Wait %d hooks are pending", len(end.Report.Pending))
	}
	return wrong
}

// results are the messages that the last log line may have.
var results = []string{"finished", "finished with errors", "timed out", "forced"}

func logAgrees(o Outcome, end *End) (wrong []string) {
	if o.Plan.Logger != "" {
		return nil // it is broken
	}
	first := slices.DeleteFunc(slices.Clone(o.Log), func(l LogLine) bool { return l.Msg != "shutdown: started" })
	cause := errorText(end.Report.Cause)
	if len(first) != 1 {
		wrong = append(wrong, fmt.Sprintf("%d log lines say that the shutdown started", len(first)))
	} else if failed := cause != "" && !isRequest(cause); failed != (first[0].Level == "ERROR") {
		wrong = append(wrong, fmt.Sprintf("the first log line has the level %s, and the cause is %q", first[0].Level, cause))
	}
	for _, l := range o.Log {
		if strings.HasPrefix(l.Msg, "shutdown: failed") && l.Error == "" {
			wrong = append(wrong, "a log line says that something failed, but not what")
		}
	}
	last := o.lastLines()
	if len(last) != 1 {
		return append(wrong, fmt.Sprintf("%d log lines say how the shutdown ended", len(last)))
	}
	if word := strings.TrimPrefix(last[0].Msg, "shutdown: "); word != end.Result {
		wrong = append(wrong, fmt.Sprintf("the log says %q, and the Report %q", word, end.Result))
	}
	if (last[0].Level == "ERROR") != (end.ExitCode != 0) {
		wrong = append(wrong, fmt.Sprintf("the last log line has the level %s, and the exit code is %d", last[0].Level, end.ExitCode))
	}
	return wrong
}

// stepsAgree checks that the Report's steps agree with what the hooks did.
func stepsAgree(o Outcome, end *End) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	seen := make(map[string]int)
	for _, s := range end.Report.Steps {
		if s.Name == "" || s.Phase == shutdown.Running {
			continue
		}
		seen[s.Name]++
		if isServer(s) {
			if s.Err != nil && !o.mayHang() {
				say("the server's drain failed for no reason: %v", s.Err)
			}
			continue
		}
		ended, hasEnded := o.first(hookEnded, s.Name)
		stepEnd := end.Report.Begun.Add(s.At + s.Took)
		switch {
		case s.Running:
			say("%s is still running in the final Report", s.Name)
		case s.Abandoned:
			if s.Phase == shutdown.Close && !s.BestEffort && o.closeFits() {
				say("%s was abandoned, although Close has its reserve", s.Name)
			}
			if hasEnded && stepEnd.Sub(ended.At) > o.journalLead() {
				say("%s ended %v before it was reported as abandoned", s.Name, stepEnd.Sub(ended.At))
			}
		case strings.HasSuffix(s.Name, ", hijacked connections"): // registered by the server
		case !hasEnded:
			say("%s has not ended, and the Report says that it has", s.Name)
		case ended.Error == "" && s.Err != nil:
			say("%s succeeded, and the Report says: %v", s.Name, s.Err)
		case ended.Error != "" && s.Err == nil:
			say("%s failed (%s), and the Report says nothing", s.Name, ended.Error)
		case s.Err != nil && !strings.Contains(s.Err.Error(), ended.Error):
			say("%s failed (%s), and the Report says: %v", s.Name, ended.Error, s.Err)
		}
	}
	for _, e := range o.all(hookEnded) {
		if n := seen[e.Name]; n != 1 && e.At.Before(end.Report.Begun.Add(end.Report.Took)) {
			say("%s ended, and is in the Report %d times", e.Name, n)
		}
	}
	for name, n := range seen {
		if n > 1 {
			say("%s is in the Report %d times", name, n)
		}
	}
	return wrong
}

// closeFits reports whether the Close hooks need less than their reserve.
func (o Outcome) closeFits() bool {
	if o.forced() || o.wasStoppedInClose() || o.wasBusy() {
		return false
	}
	var sum time.Duration
	for _, h := range o.Plan.hooks() {
		if h.Phase != inClose {
			continue
		}
		if h.Does == hookHangs || h.Does == hookIgnores || h.Does == hookWaits {
			if h.Limit == 0 {
				return false
			}
			sum += h.Limit.D()
		}
		sum += h.Takes.D()
	}
	return 2*sum+50*time.Millisecond < o.Plan.reserve()
}

// mayHang reports whether the run has a reason for which the drain of a server may
// not have ended in time.
func (o Outcome) mayHang() bool {
	for _, w := range o.Plan.Work {
		if w.Kind == request && (w.Does == workHangs || w.Does == workGivesUp || w.Does == workLate) {
			return true
		}
	}
	// A connection in the middle of a header or a handshake has a second, counted in
	// wake-ups, which is more than the drain of some plans.
	return len(o.Plan.Clients) > 0 || o.Plan.Descriptors > 0 || o.forced() || o.wasStopped() || o.wasBusy()
}

// journalLead is how long before the library the journal may have the end of a piece
// of work: the responses of a connection that is being drained are held for up to
// 100 ms, and the process may be stopped, or not scheduled, in between.
func (o Outcome) journalLead() time.Duration {
	return 100*time.Millisecond + o.stall() + o.Plan.stopped()
}

// unfinishedAgrees checks that the work in Report.Unfinished had begun, and had not
// ended by the end of the drain.
func unfinishedAgrees(o Outcome, end *End) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	closing, _ := o.phase(shutdown.Close)
	if closing.IsZero() { // Close has not begun
		_, closing = o.end()
	}
	cutOff := o.cutOff()
	for name, n := range o.unfinished() {
		if cutOff[name] < n {
			say("%d x %s was in flight when drain ended, and %d were cut off", n, name, cutOff[name])
		}
		if unjournaled[name] {
			continue
		}
		if _, ok := o.first(workStarted, name); !ok {
			say("%s is in flight in the Report, and had not begun", name)
		}
		n := 0
		for _, e := range o.all(workEnded) {
			if e.Name == name && closing.Sub(e.At) > o.journalLead() {
				n++
			}
		}
		begun := len(slices.DeleteFunc(o.all(workStarted), func(e Event) bool { return e.Name != name }))
		if n >= begun {
			say("%s is in flight in the Report, and had ended", name)
		}
	}
	// Work without an end was in flight.
	for _, e := range o.all(workStarted) {
		if _, ok := o.first(workEnded, e.Name); !ok && o.unfinished()[e.Name] == 0 && e.At.Before(closing) {
			say("%s has not ended, and the Report does not name it", e.Name)
		}
	}
	late := len(end.Report.Unfinished) > 0 || len(end.Report.CutOff) > 0
	for _, s := range end.Report.Steps {
		late = late || s.Abandoned && !s.BestEffort
	}
	if late && end.Report.Forced == nil && end.Result != "timed out" {
		say("work was left, and the result is %q", end.Result)
	}
	return wrong
}

// unjournaled are the requests that are too many for the journal.
var unjournaled = map[string]bool{"POST /": true, "GET /reset": true}

// lastJobCause is the cause of a shutdown that began because the last job returned.
const lastJobCause = "the last job has returned"

// isRequest reports whether a cause asks for a shutdown and is not a failure.
func isRequest(cause string) bool {
	return cause == lastJobCause || strings.HasPrefix(cause, "signal ")
}

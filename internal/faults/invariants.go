package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
)

// An invariant is what has to hold after each run. Its check returns what does
// not, in words.
type invariant struct {
	name  string
	check func(Outcome) []string
}

var invariants = []invariant{
	{"answered", answered},
	{"hooks", hooksRanOnce},
	{"deadline", endedInTime},
	{"agreement", agrees},
	{"truth", tellsTheTruth},
	{"leaks", leavesNothing},
}

// expectedFailures are faults of the library that are known: violations of these
// invariants are counted, under the title of what will mend them, and do not fail
// a run. To make one count, remove its row.
var expectedFailures = map[string]string{
	"truth": "The second edition, one: a result that tells the truth",
}

// A Violation is an invariant that did not hold.
type Violation struct {
	Invariant string
	What      string
}

// Check returns what did not hold.
func Check(o Outcome) (violations []Violation) {
	for _, i := range invariants {
		for _, what := range i.check(o) {
			violations = append(violations, Violation{i.name, what})
		}
	}
	return violations
}

// answered: what a well-behaved client sent is answered, or was cut off by the
// end of the drain and is named. What was cut off and ended after all is a matter
// of truth.
func answered(o Outcome) (wrong []string) {
	unfinished := o.unfinished()
	for _, r := range o.Requests {
		if !r.Sent || r.Answered {
			continue
		}
		_, begun := o.first(workStarted, r.Name)
		ended, hasEnded := o.first(workEnded, r.Name)
		switch {
		case !begun && o.mayLose():
		case !begun:
			wrong = append(wrong, fmt.Sprintf("%s was sent, and reached no handler: %s", r.Name, r.Error))
		case hasEnded && ended.Cut || unfinished[r.Name] > 0 || o.mayLose():
		case hasEnded:
			wrong = append(wrong, fmt.Sprintf("%s was handled, and the answer did not arrive: %s", r.Name, r.Error))
		default:
			wrong = append(wrong, fmt.Sprintf("%s has no answer, and is not named as still in flight: %s", r.Name, r.Error))
		}
	}
	if n := o.Load.Losses(); n > 0 && !o.mayLose() && !o.wereSilent() {
		wrong = append(wrong, fmt.Sprintf("%d of %d requests of the load were lost: %s", n, o.Load.Requests, o.Load.Kinds()))
	}
	return wrong
}

// linger is how long package httpserver waits for a request on a connection
// that has none before it closes it.
const linger = 50 * time.Millisecond

// wereSilent reports whether clients were silent for so long, in the middle of a
// request or before it, that their connections may have been closed in the moment
// in which they sent it: the limit that package httpserver documents. It takes a
// machine that is so busy that the clients do not run while the service does, and
// each client loses one request at the most.
func (o Outcome) wereSilent() bool {
	return o.Load.Silence > linger+o.Plan.Load.Takes.D() && o.Load.Losses() <= o.Plan.Load.Clients && o.Stall > linger
}

// mayLose reports whether the shutdown was cut short, or could not accept what
// was connected: then requests are lost that never reached a handler. Hooks and
// clients that hang are no reason, because a listener is drained in the first
// milliseconds.
func (o Outcome) mayLose() bool {
	return o.forced() || o.wasStopped() || o.Plan.Descriptors > 0 && o.drainCutShort()
}

// drainCutShort reports whether a server's Drain hook says that it left
// connections.
func (o Outcome) drainCutShort() bool {
	end, _ := o.end()
	return end != nil && slices.ContainsFunc(end.Report.Steps, func(s shutdown.Step) bool {
		return isServer(s) && s.Err != nil
	})
}

// isServer reports whether s is a hook of package httpserver.
func isServer(s shutdown.Step) bool {
	return s.Phase == shutdown.Drain && (strings.HasPrefix(s.Name, "http ") || strings.HasPrefix(s.Name, "https "))
}

// hooksRanOnce: each hook that was registered has started once, but for those
// that were taken out again, and those that were registered when the time was
// up, for which nobody waits.
func hooksRanOnce(o Outcome) (wrong []string) {
	_, end := o.end()
	if end.IsZero() {
		return nil // endedInTime says so
	}
	starts := make(map[string]int)
	for _, e := range o.all(hookStarted) {
		starts[e.Name]++
	}
	for _, e := range o.all(hookRegistered) {
		n := starts[e.Name]
		delete(starts, e.Name)
		_, removed := o.first(hookRemoved, e.Name)
		// Registered when there was no time left: it may still have been about to
		// start when the process ended.
		late := e.Error != "" || e.At.After(end.Add(-50*time.Millisecond))
		switch {
		case removed && n > 0:
			wrong = append(wrong, fmt.Sprintf("%s was removed, and ran %d times", e.Name, n))
		case n > 1, n == 0 && !removed && !late:
			wrong = append(wrong, fmt.Sprintf("%s ran %d times", e.Name, n))
		}
	}
	for name := range starts {
		wrong = append(wrong, name+" ran and was not registered")
	}
	return wrong
}

// endedInTime: Wait returned by the Timeout, or within 2 s after SIGCONT, and the
// process ended soon after.
func endedInTime(o Outcome) (wrong []string) {
	end, at := o.end()
	if o.Killed != "" {
		wrong = append(wrong, "the process had to be killed: "+o.Killed)
	}
	if end == nil {
		if o.Killed == "" && !o.mayBeKilled() {
			wrong = append(wrong, fmt.Sprintf("the process ended before Wait had returned: exit status %d, signal %q", o.ExitCode, o.EndedBy))
		}
		return wrong
	}
	if late := at.Sub(o.deadline()); late > o.slack() {
		wrong = append(wrong, fmt.Sprintf("Wait returned %v after the deadline; the machine stood still for %v", late, o.Stall))
	}
	last := o.all(lastEvent)
	if len(last) == 1 && o.Exited.Sub(last[0].At) > 2*time.Second+o.slack() {
		wrong = append(wrong, fmt.Sprintf("the process ended %v after its last event", o.Exited.Sub(last[0].At)))
	}
	return wrong
}

// deadline is when Wait has to have returned.
func (o Outcome) deadline() time.Time {
	limit := o.begun().Add(o.Plan.Timeout.D())
	if again := o.Resumed.Add(2 * time.Second); !o.Resumed.IsZero() && again.After(limit) {
		return again
	}
	return limit
}

// leavesNothing: see the child for goroutines and descriptors.
func leavesNothing(o Outcome) (wrong []string) {
	for _, e := range o.all(leaked) {
		wrong = append(wrong, e.Name+": "+e.Error)
	}
	for _, left := range o.Left {
		wrong = append(wrong, "left behind: "+left)
	}
	return wrong
}

// tellsTheTruth: work that was still in flight when its time was up, or that was
// let in later, is named as unfinished, and the exit code is not 0. What it did
// afterwards changes nothing.
func tellsTheTruth(o Outcome) (wrong []string) {
	end, at := o.end()
	if end == nil {
		return nil
	}
	cut := make(map[string]int)
	for _, e := range o.Journal {
		switch {
		case e.At.After(at):
		case e.Kind == workEnded && e.Cut:
			cut[e.Name]++
		}
	}
	unfinished := o.unfinished()
	for _, name := range slices.Sorted(maps.Keys(cut)) {
		if n := cut[name]; unfinished[name] < n {
			wrong = append(wrong, fmt.Sprintf("%d x %s was cut off, and the Report names %d: %q", n, name, unfinished[name], end.Result))
		}
	}
	if len(cut) > 0 && end.ExitCode == 0 {
		wrong = append(wrong, "work was cut off, and the exit code is 0")
	}
	return wrong
}

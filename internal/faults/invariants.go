package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/load"
)

// An invariant has to hold after each run. Its check describes each violation.
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

// A Violation says how an invariant did not hold.
type Violation struct {
	Invariant string
	What      string
}

// Check returns the violations of all invariants.
func Check(o Outcome) (violations []Violation) {
	for _, i := range invariants {
		for _, what := range i.check(o) {
			violations = append(violations, Violation{i.name, what})
		}
	}
	return violations
}

// answered checks that each request of a well-behaved client is answered, or was cut
// off by the end of the drain and is named in CutOff. A request that was cut off and
// yet ended is tellsTheTruth's to check.
func answered(o Outcome) (wrong []string) {
	cutOff, unfinished := o.cutOff(), o.unfinished()
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
		case o.mayLose():
		case hasEnded && !o.endedTooLate(ended) && unfinished[r.Name] == 0:
			wrong = append(wrong, fmt.Sprintf("%s was handled, and the answer did not arrive: %s", r.Name, r.Error))
		case !hasEnded && cutOff[r.Name] == 0:
			wrong = append(wrong, fmt.Sprintf("%s has no answer, and is not named as cut off: %s", r.Name, r.Error))
		}
	}
	if n := o.Load.Losses(); n > 0 && !o.mayLose() && !o.clientsStalled() {
		wrong = append(wrong, fmt.Sprintf("%d of %d requests of the load were lost: %s", n, o.Load.Requests, o.Load.Kinds()))
	}
	return wrong
}

// endedTooLate reports whether a handler ended when its connection may have been
// closed: after the end of the drain, or at any time if the server says that it cut
// connections off. The end of WorkContext is no excuse: it comes a fifth of the drain
// before the end of the drain, so that handlers can still answer.
func (o Outcome) endedTooLate(e Event) bool {
	_, drained := o.phase(shutdown.Drain)
	return !drained.IsZero() && e.At.After(drained) || o.drainCutShort()
}

// linger is how long package httpserver waits for a request on an idle connection
// before it closes it.
const linger = 50 * time.Millisecond

// closedIdle are the kinds of loss of a request that was sent while its connection
// was being closed.
var closedIdle = map[string]bool{"EOF": true, "RST": true, "EPIPE": true, "closed": true, load.Unsent: true}

// clientsStalled reports whether clients were not scheduled for so long that the
// server may have closed their idle connections while they sent a request: the limit
// that package httpserver documents. It takes one stall longer than the linger, so
// each client loses one request at most, and only by the close of a connection.
// Silence alone is no proof, because it includes the time in which a client waits for
// the server, but it is never too short.
func (o Outcome) clientsStalled() bool {
	for kind := range o.Load.Lost {
		if !closedIdle[kind] {
			return false
		}
	}
	return o.Stall > linger && o.Load.Silence > linger && o.Load.Losses() <= o.Plan.Load.Clients
}

// mayLose reports whether the drain was cut short: it was forced, or stopped, or had
// no descriptors to accept all connections, and the server says that it did not
// drain. Then requests may be lost before they reach a handler. Events after the
// drain, such as Force in Close, are no reason. Neither are hooks and clients that
// hang, because a listener is drained in the first milliseconds.
func (o Outcome) mayLose() bool {
	return o.mayBeKilled() || (o.forcedInDrain() || o.wasStopped() || o.Plan.Descriptors > 0) && o.drainCutShort()
}

// drainCutShort reports whether the server that the requests are sent to says that
// its drain left connections.
func (o Outcome) drainCutShort() bool {
	end, _ := o.end()
	return end != nil && slices.ContainsFunc(end.Report.Steps, func(s shutdown.Step) bool {
		return s.Phase == shutdown.Drain && strings.HasPrefix(s.Name, "http ") && s.Err != nil
	})
}

// isServer reports whether s is a Drain hook of package httpserver.
func isServer(s shutdown.Step) bool {
	return s.Phase == shutdown.Drain && (strings.HasPrefix(s.Name, "http ") || strings.HasPrefix(s.Name, "https "))
}

// hooksRanOnce checks that each registered hook has started once, except hooks that
// were removed, hooks that were registered after the end of Close, which the process
// does not wait for, and hooks that neverScheduled excuses.
func hooksRanOnce(o Outcome) (wrong []string) {
	_, end := o.end()
	if end.IsZero() {
		return nil // endedInTime reports it
	}
	if _, closed := o.phase(shutdown.Close); !closed.IsZero() {
		end = closed
	}
	starts := make(map[string]int)
	for _, e := range o.all(hookStarted) {
		starts[e.Name]++
	}
	for _, e := range o.all(hookRegistered) {
		n := starts[e.Name]
		delete(starts, e.Name)
		_, removed := o.first(hookRemoved, e.Name)
		late := e.Error != "" || e.At.After(end)
		switch {
		case removed && n > 0:
			wrong = append(wrong, fmt.Sprintf("%s was removed, and ran %d times", e.Name, n))
		case n > 1, n == 0 && !removed && !late && !o.neverScheduled(e.Name):
			wrong = append(wrong, fmt.Sprintf("%s ran %d times", e.Name, n))
		}
	}
	for name := range starts {
		wrong = append(wrong, name+" ran and was not registered")
	}
	return wrong
}

// forcedTime is more than a forced end gives to a Leave or Drain hook, which is 20
// to 100 ms, depending on the Reserve.
const forcedTime = 150 * time.Millisecond

// neverScheduled reports whether a hook was started in a forced end, had only
// milliseconds, and was abandoned according to the Report. In a process that is
// starved of CPU its goroutine may not run before the process exits. The library
// cannot change that: it does not know whether the goroutine runs.
func (o Outcome) neverScheduled(name string) bool {
	end, _ := o.end()
	return o.forced() && slices.ContainsFunc(end.Report.Steps, func(s shutdown.Step) bool {
		return s.Name == name && s.Abandoned && s.Took < forcedTime
	})
}

// hookExcused reports whether a hook did not run and neverScheduled excuses it.
func (o Outcome) hookExcused() bool {
	for _, e := range o.all(hookRegistered) {
		if _, ran := o.first(hookStarted, e.Name); !ran && o.neverScheduled(e.Name) {
			return true
		}
	}
	return false
}

// endedInTime checks that Wait returned within the Timeout, or within 2 s after
// SIGCONT, and that the process ended soon after.
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
		wrong = append(wrong, fmt.Sprintf("Wait returned %v after the deadline; the longest stall was %v", late, o.stall()))
	}
	last := o.all(lastEvent)
	if len(last) == 1 && o.Exited.Sub(last[0].At) > 2*time.Second+o.slack() {
		wrong = append(wrong, fmt.Sprintf("the process ended %v after its last event", o.Exited.Sub(last[0].At)))
	}
	return wrong
}

// deadline is when Wait has to return at the latest.
func (o Outcome) deadline() time.Time {
	limit := o.begun().Add(o.Plan.Timeout.D())
	if again := o.Resumed.Add(2 * time.Second); !o.Resumed.IsZero() && again.After(limit) {
		return again
	}
	return limit
}

// leavesNothing checks for leaks. The child itself looks for goroutines and
// descriptors.
func leavesNothing(o Outcome) (wrong []string) {
	for _, e := range o.all(leaked) {
		wrong = append(wrong, e.Name+": "+e.Error)
	}
	for _, left := range o.Left {
		wrong = append(wrong, "remains: "+left)
	}
	return wrong
}

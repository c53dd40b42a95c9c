package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
)

// forcedAgrees checks that the end was forced if and only if there was a reason.
func forcedAgrees(o Outcome, end *End) (wrong []string) {
	may, must := o.mayForce()
	if end.Report.Forced != nil && !may {
		wrong = append(wrong, fmt.Sprintf("the shutdown was forced for no reason: %v", end.Report.Forced))
	}
	if end.Report.Forced == nil && must {
		wrong = append(wrong, "the shutdown should have been forced")
	}
	return wrong
}

// mayForce reports whether the end may have been forced, and whether it must have
// been.
func (o Outcome) mayForce() (may, must bool) {
	for _, e := range o.all(hookStarted) {
		may = may || strings.HasSuffix(e.Name, hookForces)
	}
	p := o.Plan
	if p.Table == tableImmediate {
		may = may || slices.Contains(p.First.Names, "TERM")
		begun, _ := o.first(acceptCanceled, "")
		must = begun.Error == "signal SIGTERM" // after another cause SIGTERM has no effect
	}
	return may || o.interrupted(2), must
}

// forcedInDrain reports whether the end was forced before the drain had ended: then
// Force ended WorkContext.
func (o Outcome) forcedInDrain() bool {
	canceled := o.all(workCanceled)
	return o.forced() && len(canceled) > 0 && strings.HasPrefix(canceled[0].Error, shutdown.ErrForced.Error())
}

// interrupted reports whether n SIGINTs may have arrived, each at least half a second
// after the one before. A busy machine may have delayed them. The first signal of the
// run counts, whatever it is.
func (o Outcome) interrupted(n int) bool {
	if o.Plan.Table != tableDefault {
		return false
	}
	var first, last time.Time
	count := 0
	for i, s := range o.Sent {
		if i > 0 && s.Name != "INT" {
			continue
		}
		if count++; count == 1 {
			first = s.At
		}
		last = s.At
	}
	if !o.Resumed.IsZero() && o.Resumed.After(last) {
		last = o.Resumed
	}
	apart := 500 * time.Millisecond * time.Duration(n-1)
	return count >= n && last.Sub(first)+3*o.stall()+100*time.Millisecond > apart
}

// mayBeKilled reports whether a third SIGINT may have ended the process, as it
// should.
func (o Outcome) mayBeKilled() bool { return o.EndedBy == "interrupt" && o.interrupted(3) }

// signalNumbers has the signals that are sent. Their numbers are the same on all
// systems that have them.
var signalNumbers = map[string]int{"HUP": 1, "INT": 2, "TERM": 15}

// endedBy has the same numbers by the names that package syscall gives the signals.
var endedBy = map[string]int{"hangup": 1, "interrupt": 2, "terminated": 15}

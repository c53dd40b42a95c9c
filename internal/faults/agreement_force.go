package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown"
)

// forcedAgrees: the end was forced if, and only if, there was a reason.
func forcedAgrees(o Outcome, end *End) (wrong []string) {
	may, must := o.mayForce()
	if end.Report.Forced != nil && !may {
		wrong = append(wrong, fmt.Sprintf("it was forced for no reason: %v", end.Report.Forced))
	}
	if end.Report.Forced == nil && must {
		wrong = append(wrong, "it should have been forced")
	}
	return wrong
}

// mayForce reports whether something may have forced the end, and whether it
// must have.
func (o Outcome) mayForce() (may, must bool) {
	for _, e := range o.all(hookStarted) {
		may = may || strings.HasSuffix(e.Name, hookForces)
	}
	p := o.Plan
	if p.Table == tableImmediate {
		may = may || slices.Contains(p.First.Names, "TERM")
		begun, _ := o.first(acceptCanceled, "")
		must = begun.Error == "signal SIGTERM" // if something else began it, SIGTERM changes nothing
	}
	return may || o.pressed(2), must
}

// forcedInDrain reports whether the end was forced before the drain had ended:
// then Force is what ended WorkContext.
func (o Outcome) forcedInDrain() bool {
	canceled := o.all(workCanceled)
	return o.forced() && len(canceled) > 0 && strings.HasPrefix(canceled[0].Error, shutdown.ErrForced.Error())
}

// pressed reports whether n SIGINTs, each half a second or more after the one
// before, may have arrived, on a machine that may have held them up. The first
// signal of all counts as one, whatever it is.
func (o Outcome) pressed(n int) bool {
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
func (o Outcome) mayBeKilled() bool { return o.EndedBy == "interrupt" && o.pressed(3) }

// signalNumbers are those of the signals that are sent; the same on all systems
// that have them.
var signalNumbers = map[string]int{"HUP": 1, "INT": 2, "TERM": 15}

// endedBy are the same numbers by what package syscall calls the signals.
var endedBy = map[string]int{"hangup": 1, "interrupt": 2, "terminated": 15}

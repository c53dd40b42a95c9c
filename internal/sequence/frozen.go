package sequence

import (
	"context"
	"time"
)

// A process can be frozen: by SIGSTOP, by the freezer of its container, or because it
// gets no CPU. Deadlines pass meanwhile, and nothing of it can be seen but that it is
// later than it should be. The rule: whatever runs next has a minimum, although its
// time is up, and so has what was running. A phase and its hooks have minUnwind; Close,
// which releases what other programs wait for, has minClose after a freeze before it, and
// once more after one in it.

// minClose is what Close has at least, also in a process that was frozen.
const minClose = 500 * time.Millisecond

// atLeastUnwind is the length of a phase of which left is left.
func atLeastUnwind(left time.Duration) time.Duration { return max(left, minUnwind) }

// closeEnd is when Close has to be over. It is called when Drain has ended. That it
// comes late, by a part of the Reserve, is no sign of a freeze: hooks that are
// abandoned and forced ends take their moment.
func closeEnd(begun time.Time, p Plan) time.Time {
	end := begun.Add(p.CloseEnd)
	if late := time.Since(begun.Add(p.DrainEnd)); late > max(p.Reserve/2, maxForced) && time.Until(end) < minClose {
		return time.Now().Add(minClose)
	}
	return end
}

// wasFrozen reports whether the process was frozen at end, when a phase or a hook should
// have been over: no hook can take that much longer.
func wasFrozen(end time.Time) bool { return time.Since(end) > minUnwind }

// thaw gives hooks that were running when the process was frozen at end a moment to
// return.
func (s *Sequence) thaw(end time.Time) {
	if !wasFrozen(end) {
		return
	}
	moment, cancel := context.WithTimeout(context.Background(), minUnwind)
	defer cancel()
	s.waitIdle(moment)
}

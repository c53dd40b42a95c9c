package sequence

import "time"

// A Plan is how the time is divided. All times count from the beginning.
type Plan struct {
	LameDuck time.Duration
	DrainEnd time.Duration
	CloseEnd time.Duration // when the last Close hook has to be over
	Timeout  time.Duration // when everything has to be over
	Reserve  time.Duration // what Close has after a forced end
}

// leaveEnd is when a Leave hook that hangs is abandoned.
func (p Plan) leaveEnd() time.Duration { return max(p.LameDuck, p.DrainEnd/2) }

// WorkEnd is when the context of work ends if Leave ends with the lame duck; otherwise it
// ends later.
func (p Plan) WorkEnd() time.Duration { return p.DrainEnd - forAnswers(p.DrainEnd-p.LameDuck) }

// forAnswers is how much of a drain is left when the context of work ends.
func forAnswers(drain time.Duration) time.Duration { return min(2*time.Second, drain/5) }

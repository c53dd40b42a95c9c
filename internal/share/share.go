// Package share has the rules by which hooks share the time of a shutdown. The
// Manager goes by them, and the status page shows what follows from them.
package share

import "time"

// closeFloor is what every Close hook has, if there is that much in all.
const closeFloor = 500 * time.Millisecond

// LeaveEnd is when a Leave hook that hangs is left behind, if Drain ends at
// drainEnd; both are counted from the beginning.
func LeaveEnd(lameDuck, drainEnd time.Duration) time.Duration { return max(lameDuck, drainEnd/2) }

// CloseSlot is how long the next Close hook may take of what is left: all of
// it, less a floor for each of the hooks behind it.
func CloseSlot(left time.Duration, behind int) time.Duration {
	return left - time.Duration(behind)*min(closeFloor, left/time.Duration(behind+1))
}

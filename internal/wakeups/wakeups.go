// Package wakeups has waits that do not run out while this process is frozen or
// starved of CPU. They are counted in timer wake-ups: when a process gets no CPU,
// its wake-ups come as late as the goroutine that it waits for.
package wakeups

import "time"

// Tick is the interval of the wake-ups that are counted.
const Tick = 25 * time.Millisecond

// Await waits until c is closed, for at most d, and reports whether it was.
func Await(c <-chan struct{}, d time.Duration) bool {
	for ; d > 0; d -= Tick {
		timer := time.NewTimer(min(d, Tick))
		select {
		case <-c:
			timer.Stop()
			return true
		case <-timer.C:
		}
	}
	select {
	case <-c:
		return true
	default:
		return false
	}
}

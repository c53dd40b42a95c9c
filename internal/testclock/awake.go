package testclock

import "time"

// tick is the resolution of Awake.
const tick = 10 * time.Millisecond

// Awake runs do and returns how long the process was scheduled meanwhile. It counts how
// often a ticker wakes the process up, so the time in which the machine is suspended or
// does not run the process does not count.
func Awake(do func()) time.Duration {
	over, ticks := make(chan struct{}), make(chan int)
	go func() {
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for n := 0; ; n++ {
			select {
			case <-ticker.C:
			case <-over:
				ticks <- n
				return
			}
		}
	}()
	do()
	close(over)
	return time.Duration(<-ticks) * tick
}

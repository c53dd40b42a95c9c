package testclock

import "time"

// tick is the period of Awake's clock.
const tick = 10 * time.Millisecond

// Awake returns for how long this process was awake while do ran: it counts how
// often a ticker wakes the process up. While the machine stands still, or does
// not run the process, it counts nothing, whatever the clock on the wall shows.
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

package faults

import (
	"sync/atomic"
	"time"
)

const stallTick = 5 * time.Millisecond

// A stallClock measures for how long this process did not run although it should
// have: a ticker's lateness. What the machine does to the parent it does to its
// children, so a run is excused as much time.
type stallClock struct {
	total atomic.Int64 // nanoseconds
	quit  chan struct{}
}

func startStallClock() *stallClock {
	c := &stallClock{quit: make(chan struct{})}
	go c.run()
	return c
}

func (c *stallClock) run() {
	last := time.Now()
	timer := time.NewTimer(stallTick)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-c.quit:
			return
		}
		now := time.Now()
		if late := now.Sub(last) - stallTick; late > stallTick {
			c.total.Add(int64(late))
		}
		last = now
		timer.Reset(stallTick)
	}
}

func (c *stallClock) stop() { close(c.quit) }

// since returns the time stood still since total was start.
func (c *stallClock) since(start time.Duration) time.Duration { return c.now() - start }

func (c *stallClock) now() time.Duration { return time.Duration(c.total.Load()) }

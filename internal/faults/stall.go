package faults

import (
	"sync"
	"time"
)

const stallTick = 5 * time.Millisecond

// A stallClock measures the stalls of this process: times in which it was ready but
// not scheduled, measured as the lateness of a timer. The parent and each child have
// one of their own, because a child may be starved for hundreds of milliseconds while
// the parent runs.
type stallClock struct {
	quit chan struct{}

	mu     sync.Mutex // protects what follows
	all    stalls     // since the start
	meters map[*stallMeter]bool
}

// stalls sums up stalls. The checks use the longest one, because many short stalls
// delay nothing by as much as their sum.
type stalls struct{ total, longest time.Duration }

func (s *stalls) add(d time.Duration) {
	s.total += d
	s.longest = max(s.longest, d)
}

// A stallMeter measures the stalls of one run.
type stallMeter struct {
	clock *stallClock
	seen  stalls // protected by clock.mu
}

func startStallClock() *stallClock {
	c := &stallClock{quit: make(chan struct{}), meters: make(map[*stallMeter]bool)}
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
			c.add(late)
		}
		last = now
		timer.Reset(stallTick)
	}
}

func (c *stallClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all.add(d)
	for m := range c.meters {
		m.seen.add(d)
	}
}

func (c *stallClock) stop() { close(c.quit) }

// total returns the sum of the stalls since the start.
func (c *stallClock) total() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all.total
}

// measure starts a meter. Its stop returns the stalls since then.
func (c *stallClock) measure() *stallMeter {
	m := &stallMeter{clock: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.meters[m] = true
	return m
}

func (m *stallMeter) stop() stalls {
	m.clock.mu.Lock()
	defer m.clock.mu.Unlock()
	delete(m.clock.meters, m)
	return m.seen
}

package guard

import (
	"sync"
	"time"
)

// A stallwatch knows for how long the goroutines of this process had to wait for
// a processor.
type stallwatch struct {
	stop    chan struct{}
	watcher sync.WaitGroup
	longest time.Duration // written by the watcher
}

const stallTick = 2 * time.Millisecond

func watchStalls() *stallwatch {
	s := &stallwatch{stop: make(chan struct{})}
	s.watcher.Go(func() {
		tick := time.NewTimer(stallTick)
		defer tick.Stop()
		for began := time.Now(); ; began = time.Now() {
			select {
			case <-tick.C:
				s.longest = max(s.longest, time.Since(began)-stallTick)
				tick.Reset(stallTick)
			case <-s.stop:
				return
			}
		}
	})
	return s
}

// end returns the longest stall.
func (s *stallwatch) end() time.Duration {
	close(s.stop)
	s.watcher.Wait()
	return s.longest
}

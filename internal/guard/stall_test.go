package guard

import (
	"sync"
	"time"
)

// A stallWatch measures the longest time for which this process was ready but not
// scheduled.
type stallWatch struct {
	stop    chan struct{}
	watcher sync.WaitGroup
	longest time.Duration // written by the watcher
}

const stallTick = 2 * time.Millisecond

func watchStalls() *stallWatch {
	s := &stallWatch{stop: make(chan struct{})}
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
func (s *stallWatch) end() time.Duration {
	close(s.stop)
	s.watcher.Wait()
	return s.longest
}

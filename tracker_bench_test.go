package shutdown_test

import (
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/gracefulgo/shutdown"
)

// BenchmarkInFlight counts one piece of work in and out. Only Tracker and MutexAndMap know names,
// and only Tracker can be closed. Compare results of one run only:
//
//	go test -run '^$' -bench InFlight -cpu 1,2 -count 6 . | benchstat -
func BenchmarkInFlight(b *testing.B) {
	parallel := func(b *testing.B, once func()) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				once()
			}
		})
	}
	b.Run("Tracker", func(b *testing.B) {
		var tr shutdown.Tracker
		parallel(b, func() {
			done, _ := tr.Track("work")
			done()
		})
	})
	b.Run("WaitGroup", func(b *testing.B) {
		var wg sync.WaitGroup
		parallel(b, func() {
			wg.Add(1)
			wg.Done()
		})
	})
	b.Run("MutexAndMap", func(b *testing.B) {
		var mu sync.Mutex
		names := make(map[*int]string)
		parallel(b, func() {
			key := new(int)
			mu.Lock()
			names[key] = "work"
			mu.Unlock()
			mu.Lock()
			delete(names, key)
			mu.Unlock()
		})
	})
	// An errgroup counts goroutines, so it has to start one.
	b.Run("Errgroup", func(b *testing.B) {
		var g errgroup.Group
		parallel(b, func() {
			ended := make(chan struct{})
			g.Go(func() error { close(ended); return nil })
			<-ended
		})
	})
}

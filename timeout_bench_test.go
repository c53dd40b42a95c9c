package shutdown_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// BenchmarkTimeout measures how far from the Timeout Wait returns if everything hangs. 160
// shutdowns run at the same time. ms-machine-late is how late the machine is by itself, measured
// with a sleep and a file. On an idle machine ms-off-worst is less than 50. Each shutdown names
// what hangs, and none returns more than 50 ms early.
//
//	go test -run '^$' -bench Timeout -benchtime 200x .
func BenchmarkTimeout(b *testing.B) {
	const timeout = 4 * time.Second
	latest := lateness(b)
	var all sync.WaitGroup
	type result struct {
		m    *shutdown.Manager
		took time.Duration
		err  error
		file string
	}
	var mu sync.Mutex
	var results []result
	for b.Loop() {
		time.Sleep(timeout / 160) // so that they end one by one
		all.Go(func() {
			m, _ := newManager(b, shutdown.Config{Timeout: timeout, Reserve: 3 * timeout / 4})
			release := make(chan struct{})
			defer close(release)
			file := stuck(b, m, release)
			began := time.Now()
			m.Begin(nil)
			err := m.Wait()
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			results = append(results, result{m, took, err, file})
		})
	}
	all.Wait()
	var sum, worst time.Duration
	for _, r := range results {
		requireStuckNamed(b, r.m, r.err, r.file)
		off := r.took - timeout
		require.Greater(b, off, -50*time.Millisecond, "a busy machine does not make Wait return too early")
		sum, worst = sum+off.Abs(), max(worst, off.Abs())
	}
	milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(milliseconds(sum)/float64(b.N), "ms-off")
	b.ReportMetric(milliseconds(worst), "ms-off-worst")
	b.ReportMetric(milliseconds(latest()), "ms-machine-late")
	b.ReportMetric(0, "ns/op") // mostly sleep
}

// lateness measures how late the machine is by itself until worst is called, with a goroutine that
// sleeps and one that writes a file.
func lateness(b *testing.B) (worst func() time.Duration) {
	b.Helper()
	var late time.Duration
	var failed error
	stop, stopped := make(chan struct{}), make(chan struct{})
	file := filepath.Join(b.TempDir(), "lateness")
	go func() {
		defer close(stopped)
		for failed == nil {
			const nap = 10 * time.Millisecond
			begun := time.Now()
			select {
			case <-time.After(nap):
			case <-stop:
				return
			}
			written := make(chan error)
			go func() { written <- os.WriteFile(file, []byte("all of it"), 0o600) }()
			failed = <-written
			late = max(late, time.Since(begun)-nap)
		}
	}()
	end := sync.OnceFunc(func() { close(stop); <-stopped })
	b.Cleanup(end)
	return func() time.Duration {
		end()
		require.NoError(b, failed)
		return late
	}
}

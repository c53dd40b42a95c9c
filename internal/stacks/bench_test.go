package stacks_test

import (
	"fmt"
	"io"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/stacks"
)

// BenchmarkGroups measures with n blocked goroutines: Groups; the profile alone; for
// comparison runtime.Stack, into a buffer with room for all stacks; and Groups if one
// more stack is so deep that it needs runtime.Stack. paused-ns/op is how long the world
// is stopped, with the precision of the buckets of runtime/metrics.
func BenchmarkGroups(b *testing.B) {
	for _, n := range []int{1_000, 50_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			blocked(b, n, idle)
			blocked(b, 3, func(release <-chan struct{}) { inHook(func() { <-release }) })
			requireGroup(b, n, "stacks_test.idle ")
			groups := func() { stacks.Groups(isHook, nil, 8, maxBytes) }
			b.Run("Groups", func(b *testing.B) { measure(b, groups) })
			b.Run("profile", func(b *testing.B) {
				measure(b, func() { _ = pprof.Lookup("goroutine").WriteTo(io.Discard, 1) })
			})
			b.Run("runtime.Stack", func(b *testing.B) {
				measure(b, func() {
					buf := make([]byte, 1<<20+n<<10)
					require.Less(b, runtime.Stack(buf, true), len(buf))
				})
			})
			b.Run("Groups,deep", func(b *testing.B) {
				blocked(b, 1, func(release <-chan struct{}) { recurse(500, release) })
				requireGroup(b, 1, "stacks_test.recurse", "BenchmarkGroups")
				measure(b, groups)
			})
		})
	}
}

func measure(b *testing.B, run func()) {
	b.ReportAllocs()
	before := paused()
	for b.Loop() {
		run()
	}
	b.ReportMetric((paused()-before)/float64(b.N)*1e9, "paused-ns/op")
}

// paused returns for how many seconds the world has been stopped so far, except for
// garbage collection: the sum of all pauses, each taken as the start of its bucket.
func paused() (seconds float64) {
	sample := []metrics.Sample{{Name: "/sched/pauses/total/other:seconds"}}
	metrics.Read(sample)
	h := sample[0].Value.Float64Histogram()
	for i, n := range h.Counts {
		seconds += float64(n) * max(0, h.Buckets[i])
	}
	return seconds
}

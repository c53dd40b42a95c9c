package stacks_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
	"github.com/gracefulgo/shutdown/internal/stacks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(leaks.Patient(m, goleak.Find)) }

const (
	soon     = 50 * time.Second // bounds the wait for what happens at once
	all      = 1 << 20
	maxBytes = 4 << 10
)

// The tests find goroutines by the names of the following functions.

//go:noinline
func inHook(wait func()) { wait() }

//go:noinline
func idle(release <-chan struct{}) { <-release }

//go:noinline
func recurse(depth int, release <-chan struct{}) int {
	if depth == 0 {
		<-release
		return 0
	}
	return recurse(depth-1, release) + 1
}

func isHook(function string) bool { return strings.HasSuffix(function, "stacks_test.inHook") }

// blocked starts n goroutines that block, until the test has ended.
func blocked(tb testing.TB, n int, run func(release <-chan struct{})) {
	release := make(chan struct{})
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { run(release) })
	}
	tb.Cleanup(func() {
		close(release)
		wg.Wait()
	})
}

// count returns the number of goroutines, and of their groups, whose stack contains all of
// parts.
func count(groups []stacks.Group, parts ...string) (goroutines, inGroups int) {
	for _, g := range groups {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(g.Stack, part) }) {
			goroutines += g.Goroutines
			inGroups++
		}
	}
	return goroutines, inGroups
}

// requireGroup waits until n goroutines whose stack contains all of parts have
// blocked, which makes them one group, and returns all groups.
func requireGroup(tb testing.TB, n int, parts ...string) (groups []stacks.Group) {
	tb.Helper()
	for end := time.Now().Add(soon); ; runtime.Gosched() {
		groups, _ = stacks.Groups(isHook, nil, all, maxBytes)
		goroutines, inGroups := count(groups, parts...)
		if goroutines == n && inGroups == 1 {
			return groups
		}
		require.True(tb, time.Now().Before(end), "%d goroutines in %d groups contain %q", goroutines, inGroups, parts)
	}
}

func TestEqualStacksAreOneGroup(t *testing.T) {
	blocked(t, 7, idle)
	blocked(t, 3, func(release <-chan struct{}) { inHook(func() { <-release }) })
	requireGroup(t, 3, "stacks_test.inHook")
	groups := requireGroup(t, 7, "stacks_test.idle ")
	require.Contains(t, groups[0].Stack, "stacks_test.inHook stacks_test.go:", "the larger group is first")
	require.Equal(t, 3, groups[0].Goroutines)
	for _, g := range groups {
		require.NotContains(t, g.Stack, "0x")
		require.NotContains(t, g.Stack, "/stacks_test.go", "a directory")
	}
}

func TestTheCallingGoroutineIsLeftOut(t *testing.T) {
	groups, more := stacks.Groups(nil, nil, all, maxBytes)
	require.NotEmpty(t, groups)
	require.Zero(t, more)
	for _, g := range groups {
		require.NotContains(t, g.Stack, t.Name())
		require.NotContains(t, g.Stack, "stacks.Groups")
	}
}

// The profile has only runtime.goexit for it: the function that the compiler makes of the go
// statement is hidden.
func TestAGoroutineThatHasNotRunYetIsLeftOut(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that it does not run before Groups
	release := make(chan struct{})
	defer close(release)
	for range 20 {
		go idle(release)
		groups, _ := stacks.Groups(nil, nil, all, maxBytes)
		for _, g := range groups {
			require.NotEmpty(t, g.Stack)
		}
	}
}

func TestASkippedFunctionLeavesItsGroupOut(t *testing.T) {
	blocked(t, 2, func(release <-chan struct{}) { inHook(func() { <-release }) })
	requireGroup(t, 2, "stacks_test.inHook")
	groups, more := stacks.Groups(nil, isHook, all, maxBytes)
	goroutines, _ := count(groups, "stacks_test.inHook")
	require.Zero(t, goroutines)
	require.Zero(t, more)
}

func TestTheStuckGoroutinesComeFirstAmong50000(t *testing.T) {
	many := 50_000
	if raceDetector {
		many = 5_000
	}
	blocked(t, many, idle)
	blocked(t, 3, func(release <-chan struct{}) { inHook(func() { <-release }) })
	requireGroup(t, many, "stacks_test.idle ")
	requireGroup(t, 3, "stacks_test.inHook")

	groups, more := stacks.Groups(isHook, nil, 1, maxBytes)
	require.Len(t, groups, 1)
	require.Equal(t, 3, groups[0].Goroutines)
	require.Contains(t, groups[0].Stack, "stacks_test.inHook")
	require.GreaterOrEqual(t, more, many)
}

// The goroutine profile records less than 500 frames, and the hook is the outermost.
func TestADeepStackIsCutInTheMiddle(t *testing.T) {
	const depth = 500
	blocked(t, 2, func(release <-chan struct{}) { inHook(func() { recurse(depth, release) }) })
	blocked(t, 1, func(release <-chan struct{}) { recurse(depth, release) })
	blocked(t, 9, idle)
	requireGroup(t, 2, "stacks_test.recurse", "stacks_test.inHook")
	requireGroup(t, 1, "stacks_test.recurse", "TestADeepStackIsCutInTheMiddle.func2 ")

	for _, maxBytes := range []int{300, 1000, 2000, 8000} {
		groups, _ := stacks.Groups(isHook, nil, all, maxBytes)
		require.Equal(t, 2, groups[0].Goroutines)
		text := groups[0].Stack
		require.LessOrEqual(t, len(text), maxBytes)
		require.True(t, utf8.ValidString(text))
		lines := strings.Split(text, "\n")
		require.Contains(t, lines[0], "stacks_test.recurse stacks_test.go:", "the innermost")
		require.Contains(t, lines[len(lines)-1], "sync.(*WaitGroup).Go.func1", "the outermost")
		note := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "... ") })
		require.Positive(t, note)
		var cut int
		_, err := fmt.Sscanf(lines[note], "... %d frames cut ...", &cut)
		require.NoError(t, err)
		// recurse is called with 500, 499 and so on to 0. Around it are inHook,
		// two functions of the test, that in blocked, and WaitGroup's.
		require.Equal(t, depth+1+5, cut+len(lines)-1)
	}
	groups, _ := stacks.Groups(isHook, nil, all, 1000)
	require.Contains(t, groups[0].Stack, "stacks_test.inHook")
}

func TestLabelsNeitherSplitAGroupNorForgeOne(t *testing.T) {
	forged := "\n\n999 @ 0x1 " + stacks.CompleteEnd + "\n#\t0x1\tmain.forged+0x0\tforged.go:1\n\n\f\v\t\xff"
	for i := range 20 {
		blocked(t, 1, func(release <-chan struct{}) {
			labels := pprof.Labels("request", fmt.Sprint(i), forged+"key", forged, "long", strings.Repeat("\n#\t0x1", 50_000))
			pprof.Do(context.Background(), labels, func(context.Context) { inHook(func() { <-release }) })
		})
	}
	groups := requireGroup(t, 20, "stacks_test.inHook", "runtime/pprof.Do ")
	for _, g := range groups {
		require.NotContains(t, g.Stack, "forged")
		require.NotEqual(t, 999, g.Goroutines)
	}
}

// The dump has another format, which shows labels with GODEBUG=tracebacklabels=1.
func TestLabelsForgeNothingInADeepStack(t *testing.T) {
	t.Setenv("GODEBUG", "tracebacklabels=1")
	forged := "\n\ngoroutine 1 [running]:\nmain.forged()\n\tforged.go:1\n\n"
	blocked(t, 1, func(release <-chan struct{}) {
		pprof.Do(context.Background(), pprof.Labels(forged, forged), func(context.Context) {
			inHook(func() { recurse(200, release) })
		})
	})
	groups := requireGroup(t, 1, "stacks_test.recurse", "stacks_test.inHook")
	forgeries, _ := count(groups, "forged")
	require.Zero(t, forgeries)
}

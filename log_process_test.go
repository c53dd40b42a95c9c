//go:build unix

package shutdown_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// As in app | head -1, when head has ended.
func TestABrokenLogPipeDoesNotEndTheProcessDuringTheDrain(t *testing.T) {
	t.Parallel()
	p := startIntoBrokenPipe(t, "logs into a pipe")
	p.send(syscall.SIGTERM)
	p.awaitEvent("drain hook")
	p.finishTask()
	p.requireExit(0)
	require.Equal(t, []string{"leave hook", "drain hook", "task", "stderr: broken pipe", "stdout: broken pipe", "close hook"}, p.events())
}

func TestWithoutAManagerABrokenLogPipeEndsTheProcess(t *testing.T) { // the control for the test above
	t.Parallel()
	p := startIntoBrokenPipe(t, "logs into a pipe, no manager")
	p.send(syscall.SIGTERM)
	p.requireKilledBy(syscall.SIGPIPE)
	require.Empty(t, p.events())
}

// A goroutine that waits for AcceptContext may run before the one that has begun the shutdown
// continues.
func TestABrokenLogPipeDoesNotEndTheProcessWhenAWorkerWritesAtOnce(t *testing.T) {
	t.Parallel()
	p := startIntoBrokenPipe(t, "logs into a pipe at once")
	p.send(syscall.SIGTERM)
	p.requireExit(0)
	require.Equal(t, []string{"close hook"}, p.events())
}

func TestALoggerThatBlocksSkipsNoHook(t *testing.T) {
	t.Parallel()
	p := start(t, "logger blocks")
	p.signal(syscall.SIGTERM)
	p.finishTask()
	took := p.requireExit(0)
	require.Less(t, took, shortGrace)
	require.ElementsMatch(t, []string{"leave hook", "drain hook", "task", "close hook"}, p.events())
}

// Even if the log has used up the rest of the time, the Manager must know that Wait was called.
// There are several children because the bug did not show each time.
func TestAProgramThatTimedOutExitsWithItsOwnStatus(t *testing.T) {
	t.Parallel()
	several := startSeveral(t, "logger blocks and a hook hangs")
	for _, p := range several {
		p.signal(syscall.SIGTERM)
	}
	for _, p := range several {
		took := p.requireExit(1)
		require.Less(t, took, shortGrace)
		require.Equal(t, []string{"close hook", "close hook hangs"}, p.events())
	}
}

func TestALoggerThatBlocksDoesNotDelayAForcedEnd(t *testing.T) {
	t.Parallel()
	p := start(t, "logger blocks, term is immediate")
	p.signal(syscall.SIGTERM)
	took := p.requireExit(128 + int(syscall.SIGTERM))
	require.Less(t, took, shortGrace, "a forced end has no more than Reserve")
	require.Contains(t, p.events(), "close hook")
}

// Begin gets such a cause from a function that returns a nil *myError. Printing it panics, on a
// goroutine of the Manager.
func TestACauseThatPanicsWhenPrintedSkipsNoHook(t *testing.T) {
	t.Parallel()
	p := start(t, "cause panics")
	p.out.await("ready")
	p.requireExit(1)
	require.Equal(t, []string{"close hook"}, p.events())
}

func TestALoggerThatPanicsSkipsNoHook(t *testing.T) {
	t.Parallel()
	p := start(t, "logger panics")
	p.signal(syscall.SIGTERM)
	p.out.await("drain hook")
	p.finishTask()
	took := p.requireExit(0)
	require.Less(t, took, shortGrace)
	require.Equal(t, []string{"leave hook", "drain hook", "task", "close hook"}, p.events())
}

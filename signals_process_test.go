//go:build unix

package shutdown_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// What a person who presses Ctrl-C twice on purpose leaves in between, and what
// a terminal that sends one Ctrl-C twice does.
const (
	pressedAgain = 700 * time.Millisecond
	samePress    = 50 * time.Millisecond
)

func TestASecondSIGTERMChangesNothing(t *testing.T) {
	t.Parallel()
	p := start(t, "default signals")
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGTERM)
	p.out.await("drain hook")
	p.finishTask()
	p.requireExit(0)
	require.Equal(t, []string{"leave hook", "drain hook", "task", "close hook"}, p.events())
}

// The control for all tests here: it is the Manager that keeps the process
// alive, and not the way in which it is started.
func TestWithoutAManagerASIGTERMKills(t *testing.T) {
	t.Parallel()
	p := start(t, "no manager")
	p.out.await("ready")
	p.send(syscall.SIGTERM)
	p.requireKilledBy(syscall.SIGTERM)
	require.Empty(t, p.events())
}

func TestASecondInterruptForcesTheEnd(t *testing.T) {
	t.Parallel()
	p := start(t, "default signals")
	p.signal(syscall.SIGINT)
	p.out.await("drain hook")
	time.Sleep(pressedAgain)
	p.signal(syscall.SIGINT)
	p.requireExit(128 + int(syscall.SIGINT))
	require.Equal(t, []string{"leave hook", "drain hook", "close hook"}, p.events())
}

func TestTwoInterruptsOfOneCtrlCCountOnce(t *testing.T) {
	t.Parallel()
	for range 20 {
		p := start(t, "default signals")
		p.signal(syscall.SIGINT)
		time.Sleep(samePress)
		p.signal(syscall.SIGINT)
		if time.Since(p.begun) > 450*time.Millisecond {
			continue // the machine is busy: that may have been two
		}
		p.out.await("drain hook")
		p.finishTask()
		p.requireExit(0)
		require.Equal(t, []string{"leave hook", "drain hook", "task", "close hook"}, p.events())
		return
	}
	t.Skip("the machine is too slow to press twice at once")
}

func TestAThirdInterruptKillsEvenIfACloseHookHangs(t *testing.T) {
	t.Parallel()
	p := start(t, "close hook hangs")
	p.signal(syscall.SIGINT)
	time.Sleep(pressedAgain)
	p.signal(syscall.SIGINT)
	p.out.await("close hook hangs")
	time.Sleep(pressedAgain)
	p.send(syscall.SIGINT)
	p.requireKilledBy(syscall.SIGINT)
}

func TestOneInterruptAfterASIGTERMForcesTheEnd(t *testing.T) {
	t.Parallel()
	p := start(t, "default signals")
	p.signal(syscall.SIGTERM)
	time.Sleep(pressedAgain)
	p.signal(syscall.SIGINT)
	p.requireExit(128 + int(syscall.SIGINT))
	p.log.await(`msg="shutdown: cut off"`)
	p.log.await(`msg="shutdown: forced"`)
}

// The user's card, with real signals: shutdown.Track under Run.
func TestTrackAdmitsWorkUntilTheDrainHasEndedInAPodAndAtATerminal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, env, refused string
		sig                syscall.Signal
	}{
		{"a pod", "KUBERNETES_SERVICE_HOST=10.0.0.1", "refused after the drain: true, lame duck 1.8s", syscall.SIGTERM},
		{"a terminal", "TERM=xterm", "refused after the drain: true, lame duck 0s", syscall.SIGINT},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, "run tracks", func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, test.env, "SHUTDOWN_GRACE_PERIOD=8") })
			p.signal(test.sig)
			p.requireExit(0)
			events := strings.Join(p.events(), "\n")
			require.Contains(t, events, test.refused)
			require.Contains(t, events, "in drain: true")
			if test.sig == syscall.SIGTERM {
				require.Contains(t, events, "admitted in leave: true")
			}
			p.log.await(`msg="shutdown: finished"`)
		})
	}
}

func TestTheSignalTableCanMakeSIGTERMImmediate(t *testing.T) {
	t.Parallel()
	p := start(t, "term is immediate")
	p.signal(syscall.SIGTERM)
	p.requireExit(128 + int(syscall.SIGTERM)) // the task would go on until it is told to end
	require.Contains(t, p.events(), "close hook")
	require.NotContains(t, p.events(), "task")
}

func TestImmediateDoesNotCutAGracefulShutdownShort(t *testing.T) {
	t.Parallel()
	p := start(t, "term is immediate")
	p.signal(syscall.SIGHUP)
	p.signal(syscall.SIGTERM)
	p.out.await("drain hook")
	p.finishTask()
	p.requireExit(0)
	require.Equal(t, []string{"leave hook", "drain hook", "task", "close hook"}, p.events())
}

func TestASIGTERMDuringStartUpIsNotLost(t *testing.T) {
	t.Parallel()
	p := start(t, "start-up goes on")
	p.signal(syscall.SIGTERM)
	p.requireExit(0)
	events := p.events()
	require.Len(t, events, 3) // the consumer did not run
	require.ElementsMatch(t, []string{"AcceptContext is done: signal SIGTERM", "close hook"}, events[:2])
	require.Equal(t, "start-up has ended", events[2])
}

func TestASignalThatWasIgnoredAtTheStartStaysIgnored(t *testing.T) {
	t.Parallel()
	p := start(t, "hup is graceful", func(cmd *exec.Cmd) { // as nohup does
		cmd.Args = []string{"sh", "-c", `trap "" HUP; exec "$0"`, cmd.Path}
		cmd.Path = "/bin/sh"
	})
	p.out.await("ready")
	p.send(syscall.SIGHUP)
	p.signal(syscall.SIGUSR1) // SIGHUP has a lower number: had it had an effect, it would have come first
	p.out.await("phase running")
	p.signal(syscall.SIGTERM)
	p.finishTask()
	p.requireExit(0)
}

func TestASignalThatWasNotIgnoredIsCaught(t *testing.T) { // the control for the test above
	t.Parallel()
	p := start(t, "hup is graceful")
	p.signal(syscall.SIGHUP)
	p.signal(syscall.SIGUSR1)
	p.out.await("phase drain")
	p.finishTask()
	p.requireExit(0)
}

func TestOneMoreSIGTERMEndsAMainThatHangsAfterWait(t *testing.T) {
	t.Parallel()
	p := start(t, "hangs after Wait")
	p.signal(syscall.SIGTERM)
	p.out.await("Wait has returned")
	p.send(syscall.SIGTERM)
	p.requireKilledBy(syscall.SIGTERM)
	require.Equal(t, []string{"close hook"}, p.events())
}

func TestASIGTERMEndsAMainThatHangsBeforeWait(t *testing.T) {
	t.Parallel()
	requireLastWords(t, func() *process {
		p := start(t, "hangs before Wait")
		p.signal(syscall.SIGTERM)
		took := p.requireKilledBy(syscall.SIGTERM)
		require.GreaterOrEqual(t, took, shortTimeout, "a start-up that goes on is no hang")
		require.Less(t, took, shortGrace)
		return p
	})
}

// requireLastWords is for children that are killed at the timeout. By then they
// have a second for the hook, and 100 ms for the last line of the log: on a
// machine that stands still as long, another one has to show it.
func requireLastWords(t *testing.T, killed func() *process) {
	t.Helper()
	var p *process
	for range 5 {
		p = killed()
		if len(p.events()) > 0 && strings.Contains(p.log.String(), "nobody has called Wait") {
			break
		}
	}
	require.Equal(t, []string{"close hook"}, p.events())
	require.Contains(t, p.log.String(), "nobody has called Wait")
}

// Kubernetes runs preStop, which may begin the shutdown, and then sends SIGTERM
// once: if that changes nothing, only SIGKILL is left.
func TestASIGTERMAfterPreStopEndsAMainThatHangsBeforeWait(t *testing.T) {
	t.Parallel()
	requireLastWords(t, func() *process {
		p := start(t, "hangs before Wait, after preStop")
		p.out.await("ready")
		p.begun = time.Now()
		took := p.requireKilledBy(syscall.SIGTERM)
		require.Less(t, took, shortGrace)
		return p
	})
}

// app | head -1
func TestABrokenLogPipeDoesNotEndTheProcessDuringTheDrain(t *testing.T) {
	t.Parallel()
	p := startIntoDeadPipe(t, "logs into a pipe")
	p.send(syscall.SIGTERM)
	p.awaitEvent("drain hook")
	p.finishTask()
	p.requireExit(0)
	require.Equal(t, []string{"leave hook", "drain hook", "task", "stderr: broken pipe", "stdout: broken pipe", "close hook"}, p.events())
}

func TestWithoutAManagerABrokenLogPipeEndsTheProcess(t *testing.T) { // the control for the test above
	t.Parallel()
	p := startIntoDeadPipe(t, "logs into a pipe, no manager")
	p.send(syscall.SIGTERM)
	p.requireKilledBy(syscall.SIGPIPE)
	require.Empty(t, p.events())
}

// What AcceptContext wakes may be quicker than the goroutine that began the
// shutdown.
func TestABrokenLogPipeDoesNotEndTheProcessWhenAWorkerWritesAtOnce(t *testing.T) {
	t.Parallel()
	p := startIntoDeadPipe(t, "logs into a pipe at once")
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

// When the log has used up all that was left of the time, the Manager must
// still know that Wait was called. Several, because it once knew by chance.
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

// What Begin gets from a function that returns a *myError which is nil: to
// print it is to panic, and that on a goroutine of the Manager's.
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

// spoilt reports whether the machine has spoilt what a child was to show: it
// stopped itself later than the phase for that may end, or was not scheduled when
// it had gone on.
func (p *process) spoilt(end time.Duration) bool {
	return p.stoppedAt.Sub(p.begun) >= end || strings.Contains(strings.Join(p.events(), "\n"), stalled)
}

func TestAProcessStoppedPastItsDeadlineStillRunsItsCloseHooks(t *testing.T) {
	t.Parallel()
	names := []string{"stopped by its action", "stopped in leave", "stopped in drain"}
	names = append(names, names...)
	for range 10 {
		var several []*process
		for _, name := range names {
			several = append(several, start(t, name))
		}
		for _, p := range several {
			p.out.await("ready")
			p.send(syscall.SIGTERM)
		}
		thaw(stopTimeout+2500*time.Millisecond, several...) // for a tick of the log to be more than 2 s late
		var again []string
		for i, p := range several {
			p.requireExit(1)
			if p.spoilt(stopTimeout * 4 / 5) { // which is the end of Drain
				again = append(again, names[i])
				continue
			}
			require.ElementsMatch(t, []string{"leave hook", "drain hook", "close hook, in time"}, p.events())
			p.log.await("the process was not scheduled for a while")
			p.log.await(`msg="shutdown: timed out"`)
			require.NotContains(t, p.log.String(), "nobody has called Wait")
		}
		if names = again; len(names) == 0 {
			return
		}
	}
	require.Fail(t, "the machine has spoilt ten rounds", "%q", names)
}

func TestAProcessStoppedDuringCloseStillRunsTheOtherCloseHooksInOrder(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]int{"stopped in close": 1, "stopped in close, forced": 128 + int(syscall.SIGTERM)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p *process
			for range 10 {
				p = start(t, name)
				p.out.await("ready")
				p.send(syscall.SIGTERM) // and not signal: it may stop before it says that it got that
				thaw(stopTimeout+300*time.Millisecond, p)
				p.requireExit(code)
				// The rest has half a second. On a busy machine 50 ms may take that long.
				late := regexp.MustCompile(`close hook \\"(second|first)\\": did not return in time`).MatchString(p.log.String())
				if !late && !p.spoilt(stopTimeout/5) { // with Force the first hook of three has a second
					break
				}
			}
			require.Equal(t, []string{"second begins, in time", "second ends", "first begins, in time", "first ends"}, p.events())
			require.NotContains(t, p.log.String(), "nobody has called Wait")
		})
	}
}

func TestNewWithoutSignalsCatchesNoneAndStartsNoGoroutine(t *testing.T) {
	t.Parallel()
	p := start(t, "no signals")
	p.out.await("0 goroutines more")
	p.send(syscall.SIGTERM)
	p.requireKilledBy(syscall.SIGTERM)
	require.Empty(t, p.events())
}

func TestNewWithSignalsStartsGoroutines(t *testing.T) { // the control for the test above
	t.Parallel()
	p := start(t, "term only")
	p.out.await("goroutines more")
	require.NotContains(t, p.out.String(), "0 goroutines more")
	p.signal(syscall.SIGTERM)
	p.requireExit(0)
}

func TestDumpLogsWhatIsInFlightAndTheProgramGoesOn(t *testing.T) {
	t.Parallel()
	p := start(t, "usr1 dumps")
	p.signal(syscall.SIGUSR1)
	line := p.log.await("shutdown: dump")
	require.Contains(t, line, "signal=SIGUSR1")
	require.Contains(t, line, "phase=running")
	require.Contains(t, line, "in_flight=1")
	require.Contains(t, line, "close hook", "what is pending")
	require.Regexp(t, `tasks="task \(\d`, p.log.await("shutdown: dump: in flight"))
	require.Contains(t, p.log.await("shutdown: stack"), "taskUntilStdinEnds", "where the task is")
	p.signal(syscall.SIGUSR1)
	p.signal(syscall.SIGTERM)
	p.out.await("drain hook")
	p.finishTask()
	p.requireExit(0)
	require.Equal(t, []string{"leave hook", "drain hook", "task", "close hook"}, p.events())
}

func TestSignalsThatNoProgramCanCatchAreRefused(t *testing.T) {
	t.Parallel()
	for sig, name := range map[os.Signal]string{os.Kill: "SIGKILL", syscall.SIGSTOP: "SIGSTOP"} {
		m, err := shutdown.New(shutdown.Config{Signals: map[os.Signal]shutdown.Action{sig: shutdown.Graceful}})
		require.ErrorContains(t, err, name)
		require.ErrorContains(t, err, "Config.Signals")
		require.Nil(t, m)
	}
}

//go:build unix

package shutdown_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// The pause of a person who presses Ctrl-C twice on purpose, and that of a terminal that sends
// one Ctrl-C twice.
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

// The control for all tests here: the Manager keeps the process alive, not the way in which the
// process is started.
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
			continue // the machine is busy: that may count as two presses
		}
		p.out.await("drain hook")
		p.finishTask()
		p.requireExit(0)
		require.Equal(t, []string{"leave hook", "drain hook", "task", "close hook"}, p.events())
		return
	}
	t.Skip("the machine is too slow to send two signals within half a second")
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
	p.requireExit(128 + int(syscall.SIGTERM)) // the task has not ended
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
	p.signal(syscall.SIGUSR1) // SIGHUP has a lower number, so its effect would come first
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
	requireHookAndLastLine(t, func() *process {
		p := start(t, "hangs before Wait")
		p.signal(syscall.SIGTERM)
		took := p.requireKilledBy(syscall.SIGTERM)
		require.GreaterOrEqual(t, took, shortTimeout, "main may still be starting before that")
		require.Less(t, took, shortGrace)
		return p
	})
}

// requireHookAndLastLine is for children that are killed at the timeout. They have a second for
// the hook and 100 ms for the last log line. On a machine that is busy for so long, another child
// is tried.
func requireHookAndLastLine(t *testing.T, killed func() *process) {
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

// Kubernetes runs preStop, which may begin the shutdown, and then sends one SIGTERM. If that has
// no effect, only SIGKILL ends the process.
func TestASIGTERMAfterPreStopEndsAMainThatHangsBeforeWait(t *testing.T) {
	t.Parallel()
	requireHookAndLastLine(t, func() *process {
		p := start(t, "hangs before Wait, after preStop")
		p.out.await("ready")
		p.begun = time.Now()
		took := p.requireKilledBy(syscall.SIGTERM)
		require.Less(t, took, shortGrace)
		return p
	})
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
	require.NotContains(t, p.log.String(), "os/signal.loop", "every program that catches signals has it")
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

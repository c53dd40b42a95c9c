//go:build unix

package shutdown_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/probe"
)

// What a person who presses Ctrl-C twice on purpose leaves in between, and what
// a terminal that sends one Ctrl-C twice does.
const (
	pressedAgain = 700 * time.Millisecond
	samePress    = 50 * time.Millisecond
)

func TestATermThatComesAgainChangesNothing(t *testing.T) {
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
func TestWithoutAManagerTheFirstTermKills(t *testing.T) {
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

func TestAThirdInterruptKillsAlsoIfACloseHookHangs(t *testing.T) {
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

func TestAnInterruptAfterATermIsTheFirstOfItsKind(t *testing.T) {
	t.Parallel()
	p := start(t, "default signals")
	p.signal(syscall.SIGTERM)
	time.Sleep(pressedAgain)
	p.signal(syscall.SIGINT)
	p.out.await("drain hook")
	p.finishTask()
	p.requireExit(0)
}

func TestATableCanMakeTermImmediate(t *testing.T) {
	t.Parallel()
	p := start(t, "term is immediate")
	p.signal(syscall.SIGTERM)
	p.requireExit(128 + int(syscall.SIGTERM)) // the task would go on until it is told to end
	require.Contains(t, p.events(), "close hook")
	require.NotContains(t, p.events(), "task")
}

func TestAnImmediateSignalDoesNotSpoilAGracefulEnd(t *testing.T) {
	t.Parallel()
	p := start(t, "term is immediate")
	p.signal(syscall.SIGHUP)
	p.signal(syscall.SIGTERM)
	p.out.await("drain hook")
	p.finishTask()
	p.requireExit(0)
	require.Equal(t, []string{"leave hook", "drain hook", "task", "close hook"}, p.events())
}

func TestATermDuringStartUpIsNotLost(t *testing.T) {
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

func TestOneMoreTermEndsAMainThatHangsAfterWait(t *testing.T) {
	t.Parallel()
	p := start(t, "hangs after Wait")
	p.signal(syscall.SIGTERM)
	p.out.await("Wait has returned")
	p.send(syscall.SIGTERM)
	p.requireKilledBy(syscall.SIGTERM)
	require.Equal(t, []string{"close hook"}, p.events())
}

func TestTheFirstTermEndsAMainThatHangsBeforeWait(t *testing.T) {
	t.Parallel()
	p := start(t, "hangs before Wait")
	p.signal(syscall.SIGTERM)
	took := p.requireKilledBy(syscall.SIGTERM)
	require.GreaterOrEqual(t, took, shortTimeout, "a start-up that goes on is no hang")
	require.Less(t, took, shortGrace)
	require.Equal(t, []string{"close hook"}, p.events())
	p.log.await("nobody has called Wait")
}

// Kubernetes runs preStop, which may begin the shutdown, and then sends SIGTERM
// once: if that changes nothing, only SIGKILL is left.
func TestATermThatDidNotBeginTheShutdownEndsAMainThatHangsBeforeWaitToo(t *testing.T) {
	t.Parallel()
	p := start(t, "hangs before Wait, after preStop")
	p.out.await("ready")
	p.begun = time.Now()
	took := p.requireKilledBy(syscall.SIGTERM)
	require.Less(t, took, shortGrace)
	require.Equal(t, []string{"close hook"}, p.events())
	p.log.await("nobody has called Wait")
}

// app | head -1
func TestADeadLogPipeDoesNotKillTheDrain(t *testing.T) {
	t.Parallel()
	p := startIntoDeadPipe(t, "logs into a pipe")
	p.send(syscall.SIGTERM)
	p.awaitEvent("drain hook")
	p.finishTask()
	p.requireExit(0)
	require.Equal(t, []string{"leave hook", "drain hook", "task", "stderr: broken pipe", "stdout: broken pipe", "close hook"}, p.events())
}

func TestWithoutAManagerADeadLogPipeKills(t *testing.T) { // the control for the test above
	t.Parallel()
	p := startIntoDeadPipe(t, "logs into a pipe, no manager")
	p.send(syscall.SIGTERM)
	p.requireKilledBy(syscall.SIGPIPE)
	require.Empty(t, p.events())
}

// What AcceptContext wakes may be quicker than the goroutine that began the
// shutdown.
func TestADeadLogPipeDoesNotKillAWorkerThatIsQuick(t *testing.T) {
	t.Parallel()
	p := startIntoDeadPipe(t, "logs into a pipe at once")
	p.send(syscall.SIGTERM)
	p.requireExit(0)
	require.Equal(t, []string{"close hook"}, p.events())
}

func TestALoggerThatBlocksCostsNoHook(t *testing.T) {
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
		require.Equal(t, []string{"close hook hangs", "close hook"}, p.events())
	}
}

func TestALoggerThatBlocksDoesNotHoldUpAForcedEnd(t *testing.T) {
	t.Parallel()
	p := start(t, "logger blocks, term is immediate")
	p.signal(syscall.SIGTERM)
	took := p.requireExit(128 + int(syscall.SIGTERM))
	require.Less(t, took, shortGrace, "a forced end has no more than Reserve")
	require.Contains(t, p.events(), "close hook")
}

// What Begin gets from a function that returns a *myError which is nil: to
// print it is to panic, and that on a goroutine of the Manager's.
func TestACauseThatPanicsWhenPrintedCostsNoHook(t *testing.T) {
	t.Parallel()
	p := start(t, "cause panics")
	p.out.await("ready")
	p.requireExit(1)
	require.Equal(t, []string{"close hook"}, p.events())
}

func TestALoggerThatPanicsCostsNoHook(t *testing.T) {
	t.Parallel()
	p := start(t, "logger panics")
	p.signal(syscall.SIGTERM)
	p.out.await("drain hook")
	p.finishTask()
	took := p.requireExit(0)
	require.Less(t, took, shortGrace)
	require.Equal(t, []string{"leave hook", "drain hook", "task", "close hook"}, p.events())
}

// frozen is long enough for a tick of the log to be more than 2 s late.
const frozen = 3700 * time.Millisecond

func TestAProcessThatWasStoppedPastItsDeadlineStillCloses(t *testing.T) {
	t.Parallel()
	var several []*process
	for _, name := range []string{"stopped by its action", "stopped in leave", "stopped in drain"} {
		several = append(several, start(t, name), start(t, name))
	}
	for _, p := range several {
		p.out.await("ready")
		p.send(syscall.SIGTERM)
	}
	thaw(frozen, several...)
	for _, p := range several {
		p.requireExit(1)
		require.ElementsMatch(t, []string{"leave hook", "drain hook", "close hook, in time"}, p.events())
		p.log.await("did not run for a while")
		p.log.await(`msg="shutdown: timed out"`)
		require.NotContains(t, p.log.String(), "nobody has called Wait")
	}
}

func TestAProcessThatWasStoppedInTheMiddleOfCloseStillClosesTheRestInTurn(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]int{"stopped in close": 1, "stopped in close, forced": 128 + int(syscall.SIGTERM)} {
		var p *process
		for range 10 {
			p = start(t, name)
			p.signal(syscall.SIGTERM)
			thaw(shortTimeout+300*time.Millisecond, p)
			p.requireExit(code)
			// The rest has half a second. On a busy machine 50 ms may take that long.
			if !strings.Contains(p.log.String(), `close hook \"second\": did not return in time`) {
				break
			}
		}
		require.Equal(t, []string{"second begins, in time", "second ends", "first begins, in time", "first ends"}, p.events())
		require.NotContains(t, p.log.String(), "nobody has called Wait")
	}
}

func TestWithoutSignalsNewLeavesTheProcessAlone(t *testing.T) {
	t.Parallel()
	p := start(t, "no signals")
	p.out.await("0 goroutines more")
	p.send(syscall.SIGTERM)
	p.requireKilledBy(syscall.SIGTERM)
	require.Empty(t, p.events())
}

func TestWithSignalsNewStartsGoroutines(t *testing.T) { // the control for the test above
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
	require.Regexp(t, `in_flight="task \(\d`, line)
	require.Contains(t, line, "taskUntilStdinEnds", "where the task is")
	require.Contains(t, line, "close hook", "what is pending")
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

// The children.

// A shutdown that hangs ends at shortTimeout, for which a test has to wait;
// shortGrace is when a platform would kill, and so the latest that a test
// allows.
const (
	shortTimeout = 1200 * time.Millisecond
	shortGrace   = 15 * time.Second
)

func init() {
	graceful := map[os.Signal]shutdown.Action{syscall.SIGTERM: shutdown.Graceful}
	immediate := map[os.Signal]shutdown.Action{syscall.SIGHUP: shutdown.Graceful, syscall.SIGTERM: shutdown.Immediate}
	short := func(signals map[os.Signal]shutdown.Action, log slog.Handler) shutdown.Config {
		return shutdown.Config{GracePeriod: shortGrace, Timeout: shortTimeout, Signals: signals, Logger: slog.New(log)}
	}
	long := func(signals map[os.Signal]shutdown.Action, log slog.Handler) shutdown.Config {
		return shutdown.Config{GracePeriod: 4 * shortGrace, Signals: signals, Logger: slog.New(log)}
	}
	text := slog.NewTextHandler(os.Stderr, nil)

	maps.Copy(childScenarios, map[string]func(){
		"default signals":   func() { serve(shutdown.Config{GracePeriod: time.Hour, Signals: shutdown.DefaultSignals()}) },
		"term is immediate": func() { serve(shutdown.Config{GracePeriod: time.Minute, Signals: immediate}) },
		"logger blocks":     func() { serve(long(graceful, blockingLog{})) },
		"logger panics":     func() { serve(long(graceful, panickingLog{})) },
		"logger blocks, term is immediate": func() {
			cfg := long(immediate, blockingLog{})
			cfg.Reserve = shortGrace / 2
			serve(cfg)
		},
		"logger blocks and a hook hangs": func() {
			m := newChildManager(short(graceful, blockingLog{}))
			m.On(shutdown.Close, "quick", hook("close hook"))
			m.On(shutdown.Close, "hangs", func(context.Context) error { record("close hook hangs"); sleepOn(); return nil })
			exitSlowly(m)
		},
		"cause panics": func() {
			m := newChildManager(shutdown.Config{GracePeriod: time.Minute})
			m.On(shutdown.Close, "first", hook("close hook"))
			say("ready")
			var cause *brokenError
			m.Begin(cause)
			os.Exit(shutdown.ExitCode(m.Wait()))
		},
		"close hook hangs": func() {
			m := newChildManager(shutdown.Config{GracePeriod: time.Hour, Signals: shutdown.DefaultSignals()})
			m.On(shutdown.Close, "hangs", func(context.Context) error { say("close hook hangs"); sleepOn(); return nil })
			m.Go("task", taskUntilStdinEnds)
			say("ready")
			os.Exit(shutdown.ExitCode(m.Wait()))
		},
		"hup is graceful": func() {
			serve(shutdown.Config{GracePeriod: time.Minute, Signals: map[os.Signal]shutdown.Action{
				syscall.SIGHUP: shutdown.Graceful, syscall.SIGTERM: shutdown.Graceful,
				syscall.SIGUSR1: func(m *shutdown.Manager, _ os.Signal) {
					// A shutdown that has begun comes to Drain and stays there.
					for m.Phase() == shutdown.Leave {
						time.Sleep(time.Millisecond)
					}
					say("phase " + m.Phase().String())
				},
			}})
		},
		"usr1 dumps": func() {
			serve(shutdown.Config{GracePeriod: time.Minute, Signals: map[os.Signal]shutdown.Action{
				syscall.SIGTERM: shutdown.Graceful, syscall.SIGUSR1: shutdown.Dump,
			}})
		},

		"start-up goes on": func() {
			m := newChildManager(shutdown.Config{GracePeriod: time.Minute})
			closed := make(chan struct{})
			m.On(shutdown.Close, "first", func(context.Context) error { record("close hook"); close(closed); return nil })
			say("ready")
			<-m.AcceptContext().Done()
			record("AcceptContext is done: " + context.Cause(m.AcceptContext()).Error())
			m.Go("consumer", func(context.Context) error { record("consumer ran"); return nil })
			<-closed // the shutdown does not wait for the start-up to end
			time.Sleep(100 * time.Millisecond)
			record("start-up has ended")
			os.Exit(shutdown.ExitCode(m.Wait()))
		},
		"hangs after Wait": func() {
			m := newChildManager(shutdown.Config{GracePeriod: time.Minute})
			m.On(shutdown.Close, "first", hook("close hook"))
			say("ready")
			_ = m.Wait()
			say("Wait has returned")
			sleepOn()
		},
		"hangs before Wait": func() {
			m := newChildManager(short(graceful, text))
			m.On(shutdown.Close, "first", hook("close hook"))
			say("ready")
			sleepOn()
		},
		"hangs before Wait, after preStop": func() {
			term := make(chan struct{})
			cfg := short(map[os.Signal]shutdown.Action{syscall.SIGTERM: func(m *shutdown.Manager, sig os.Signal) {
				shutdown.Graceful(m, sig)
				close(term)
			}}, text)
			cfg.Timeout = 3 * time.Second // the signal has to come before that
			m := newChildManager(cfg)
			m.On(shutdown.Close, "first", func(context.Context) error { <-term; record("close hook"); return nil })
			m.Begin(nil) // as preStop does
			say("ready")
			must(syscall.Kill(os.Getpid(), syscall.SIGTERM)) // not by the parent, which may be slow
			sleepOn()
		},

		"logs into a pipe": func() {
			serve(shutdown.Config{GracePeriod: time.Minute}, func(m *shutdown.Manager) {
				m.On(shutdown.Close, "writer", func(context.Context) error {
					_, err := fmt.Fprintln(os.Stderr, "closing")
					record("stderr: " + errno(err))
					_, err = fmt.Fprintln(os.Stdout, "closing")
					record("stdout: " + errno(err))
					return nil
				})
			})
		},
		"logs into a pipe at once": func() {
			m := newChildManager(shutdown.Config{GracePeriod: time.Minute})
			m.On(shutdown.Close, "first", hook("close hook"))
			for range 50_000 { // to end as many contexts takes a while
				_, cancel := context.WithCancel(m.AcceptContext())
				defer cancel()
			}
			m.Go("quick", func(ctx context.Context) error {
				<-ctx.Done()
				_, _ = os.Stderr.WriteString("stopping\n")
				return nil
			})
			say("ready")
			os.Exit(shutdown.ExitCode(m.Wait()))
		},
		"logs into a pipe, no manager": func() {
			term := make(chan os.Signal, 1)
			signal.Notify(term, syscall.SIGTERM)
			say("ready")
			<-term
			_, _ = fmt.Fprintln(os.Stderr, "closing")
			record("close hook")
			os.Exit(0)
		},

		"stopped by its action": func() {
			doNotFinish(short(map[os.Signal]shutdown.Action{syscall.SIGTERM: func(m *shutdown.Manager, sig os.Signal) {
				shutdown.Graceful(m, sig)
				stop()
			}}, text))
		},
		"stopped in leave":         func() { doNotFinish(short(graceful, text), shutdown.Leave) },
		"stopped in drain":         func() { doNotFinish(short(graceful, text), shutdown.Drain) },
		"stopped in close":         func() { stopInClose(short(graceful, text)) },
		"stopped in close, forced": func() { stopInClose(short(immediate, text)) },

		"no manager": func() {
			say("ready")
			sleepOn()
		},
		"no signals": func() { countGoroutines(map[os.Signal]shutdown.Action{}) },
		"term only":  func() { countGoroutines(graceful) },
	})
}

// serve is a program with a hook in each phase and one task, which goes on
// until the parent says so: nothing here depends on how fast the machine is.
func serve(cfg shutdown.Config, more ...func(*shutdown.Manager)) {
	m := newChildManager(cfg)
	addHooks(m, shutdown.Leave, shutdown.Drain, shutdown.Close)
	for _, add := range more {
		add(m)
	}
	m.Go("task", taskUntilStdinEnds)
	<-taskBegun
	readyInWait(m)
	os.Exit(shutdown.ExitCode(m.Wait()))
}

// readyInWait says so when main waits: if it came to that later than to its end,
// it would be a main that hangs.
func readyInWait(m *shutdown.Manager) {
	go func() {
		<-probe.Of(m.AcceptContext()).Waiting
		say("ready")
	}()
}

// exitSlowly leaves time to a signal that is raised by mistake.
func exitSlowly(m *shutdown.Manager) {
	readyInWait(m)
	code := shutdown.ExitCode(m.Wait())
	time.Sleep(200 * time.Millisecond)
	os.Exit(code)
}

func newChildManager(cfg shutdown.Config) *shutdown.Manager {
	if cfg.Signals == nil {
		cfg.Signals = shutdown.DefaultSignals()
	}
	cfg.Signals = announced(cfg.Signals)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	m, err := shutdown.New(cfg)
	if err != nil {
		panic(err)
	}
	return m
}

// announced tells the parent when an Action has run: a signal that is sent
// before the last of its kind was taken is lost, in any program.
func announced(table map[os.Signal]shutdown.Action) map[os.Signal]shutdown.Action {
	wrapped := make(map[os.Signal]shutdown.Action)
	for sig, action := range table {
		wrapped[sig] = func(m *shutdown.Manager, sig os.Signal) {
			action(m, sig)
			say(got(sig))
		}
	}
	return wrapped
}

func got(sig os.Signal) string { return "got " + unix.SignalName(sig.(syscall.Signal)) }

func addHooks(m *shutdown.Manager, phases ...shutdown.Phase) {
	for _, p := range phases {
		m.On(p, p.String()+" hook", hook(p.String()+" hook"))
	}
}

func hook(event string) func(context.Context) error {
	return func(context.Context) error {
		record(event)
		say(event)
		return nil
	}
}

var taskBegun = make(chan struct{})

func taskUntilStdinEnds(context.Context) error {
	close(taskBegun)
	_, _ = io.Copy(io.Discard, os.Stdin)
	record("task")
	return nil
}

func countGoroutines(signals map[os.Signal]shutdown.Action) {
	before := runtime.NumGoroutine()
	m, err := shutdown.New(shutdown.Config{GracePeriod: time.Minute, Signals: announced(signals)})
	if err != nil {
		panic(err)
	}
	m.On(shutdown.Close, "first", hook("close hook"))
	say(fmt.Sprintf("%d goroutines more", runtime.NumGoroutine()-before))
	say("ready")
	os.Exit(shutdown.ExitCode(m.Wait()))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// say tells the parent; record writes to a file, which no dead pipe loses.
func say(line string) { _, _ = fmt.Println(line) }

func record(event string) {
	f, err := os.OpenFile("events", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.WriteString(event + "\n"); err != nil {
		panic(err)
	}
}

// inTime says whether a Close hook was given time when it was started. It may be
// over when a busy machine comes to run it.
func inTime(ctx context.Context) string {
	m, _ := shutdown.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	r := m.Report()
	for _, s := range r.Steps {
		if s.Phase == shutdown.Close && s.Running && s.Name != "" && deadline.After(r.Begun.Add(s.At)) {
			return ", in time"
		}
	}
	return ", too late"
}

// stop is what SIGSTOP does at just this point. The parent lets us go on.
func stop() {
	say("stops")
	must(syscall.Kill(os.Getpid(), syscall.SIGSTOP))
}

func errno(err error) string {
	if n := syscall.Errno(0); errors.As(err, &n) {
		return n.Error()
	}
	return fmt.Sprint(err)
}

// sleepOn is not select{}, in which the runtime may see a deadlock.
func sleepOn() { time.Sleep(time.Hour) }

type blockingLog struct{ slog.Handler }

func (blockingLog) Enabled(context.Context, slog.Level) bool  { return true }
func (blockingLog) Handle(context.Context, slog.Record) error { sleepOn(); return nil }

// A brokenError cannot be printed if it is nil.
type brokenError struct{ text string }

func (e *brokenError) Error() string { return e.text }

type panickingLog struct{ slog.Handler }

func (panickingLog) Enabled(context.Context, slog.Level) bool  { return true }
func (panickingLog) Handle(context.Context, slog.Record) error { panic("the log is broken") }

// The parent's side.

// patience is for what comes at once on a machine that is not overloaded.
const patience = 50 * time.Second

// A process is a child that runs a scenario.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, log *output
	stdin    io.Closer
	begun    time.Time // when the first signal was sent
	ended    chan struct{}
	endedAt  time.Time
}

func start(t *testing.T, scenario string, change ...func(*exec.Cmd)) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	p := &process{t: t, cmd: exec.Command(exe), ended: make(chan struct{})}
	p.out, p.log = newOutput(p), newOutput(p)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.log
	p.cmd.Dir = t.TempDir()
	// Not our environment: in a pod there would be a lame duck.
	p.cmd.Env = []string{childEnv + "=" + scenario, "PATH=" + os.Getenv("PATH"),
		"GORACE=atexit_sleep_ms=0"} // else each exit takes a second more
	for _, c := range change {
		c(p.cmd)
	}
	if p.cmd.Stdin == nil {
		p.stdin, err = p.cmd.StdinPipe()
		require.NoError(t, err)
	}
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // the tests read the state
		p.endedAt = time.Now()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // nothing if it has ended
		<-p.ended
		if t.Failed() {
			t.Logf("%s: %v\nstdout:\n%s\nstderr:\n%s\nevents: %q", scenario, p.cmd.ProcessState, p.out, p.log, p.events())
		}
	})
	return p
}

// startSeveral is for what may go well by chance.
func startSeveral(t *testing.T, scenario string) (several []*process) {
	t.Helper()
	for range 6 {
		several = append(several, start(t, scenario))
	}
	return several
}

// startIntoDeadPipe starts a child whose stdout and stderr are a pipe that
// nobody reads any more after its first line.
func startIntoDeadPipe(t *testing.T, scenario string) *process {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	p := start(t, scenario, func(cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = w, w })
	require.NoError(t, r.SetReadDeadline(time.Now().Add(patience)))
	line := make([]byte, len("ready\n"))
	_, err = io.ReadFull(r, line)
	require.NoError(t, err)
	require.Equal(t, "ready\n", string(line))
	require.NoError(t, r.Close())
	// A child of another test that has been forked and has not come to its exec
	// still has the end that is read.
	require.Eventually(t, func() bool {
		end := []unix.PollFd{{Fd: int32(w.Fd())}} //nolint:gosec // small
		_, err := unix.Poll(end, 0)
		return err == nil && end[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
	}, patience, time.Millisecond)
	return p
}

// send sends sig.
func (p *process) send(sig syscall.Signal) {
	p.t.Helper()
	if p.begun.IsZero() {
		p.begun = time.Now()
	}
	require.NoError(p.t, p.cmd.Process.Signal(sig))
}

// signal sends sig when the child is ready, and returns when its Action has run
// or the child has ended, which may come before it has told us of the former.
func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	p.out.await("ready")
	before := strings.Count(p.out.String(), got(sig))
	p.send(sig)
	p.out.look(got(sig), before+1)
}

// thaw lets children go on that have stopped themselves, after d.
func thaw(d time.Duration, children ...*process) {
	for _, p := range children {
		p.out.await("stops")
	}
	time.Sleep(d)
	for _, p := range children {
		p.send(syscall.SIGCONT)
	}
}

func (p *process) finishTask() { _ = p.stdin.Close() }

func (p *process) requireExit(code int) (took time.Duration) {
	p.t.Helper()
	status, took := p.wait()
	require.True(p.t, status.Exited(), "ended by %v", p.cmd.ProcessState)
	require.Equal(p.t, code, status.ExitStatus())
	return took
}

func (p *process) requireKilledBy(sig syscall.Signal) (took time.Duration) {
	p.t.Helper()
	status, took := p.wait()
	require.True(p.t, status.Signaled(), "ended by %v", p.cmd.ProcessState)
	require.Equal(p.t, sig, status.Signal())
	return took
}

// wait returns how the child ended, and how long after the first signal.
func (p *process) wait() (status syscall.WaitStatus, took time.Duration) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.FailNow(p.t, "the child goes on")
	}
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus), p.endedAt.Sub(p.begun)
}

// events are what the child has recorded.
func (p *process) events() []string {
	text, err := os.ReadFile(filepath.Join(p.cmd.Dir, "events"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(p.t, err)
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// awaitEvent is for a child that has nobody to say it to.
func (p *process) awaitEvent(event string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return strings.Contains(strings.Join(p.events(), "\n"), event) },
		patience, 5*time.Millisecond)
}

// An output is what a child has written so far.
type output struct {
	of      *process
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newOutput(of *process) *output { return &output{of: of, changed: make(chan struct{}, 1)} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits for a whole line with text in it and returns that line.
func (o *output) await(text string) (line string) {
	o.of.t.Helper()
	line, ok := o.look(text, 1)
	if !ok {
		require.FailNow(o.of.t, "the child has ended", "waiting for %q", text)
	}
	return line
}

// look waits for the nth line with text in it; ok is false if the child has
// ended without one.
func (o *output) look(text string, n int) (line string, ok bool) {
	o.of.t.Helper()
	timeout := time.After(patience)
	ended := o.of.ended
	for {
		count := 0
		for line := range strings.Lines(o.String()) {
			if strings.Contains(line, text) && strings.HasSuffix(line, "\n") {
				if count++; count == n {
					return line, true
				}
			}
		}
		if ended == nil {
			return "", false
		}
		select {
		case <-o.changed:
		case <-ended:
			ended = nil // all that it wrote is here now: look once more
		case <-timeout:
			require.FailNow(o.of.t, "the child does not say it", "waiting for %q", text)
		}
	}
}

// doNotFinish is stopped in the hook of phase in, if there is one.
func doNotFinish(cfg shutdown.Config, in ...shutdown.Phase) {
	m := newChildManager(cfg)
	addHooks(m, shutdown.Leave, shutdown.Drain)
	for _, p := range in {
		m.On(p, "stops", func(context.Context) error { stop(); return nil })
	}
	m.On(shutdown.Close, "first", func(ctx context.Context) error { record("close hook" + inTime(ctx)); return nil })
	m.Go("task", taskUntilStdinEnds)
	exitSlowly(m)
}

// stopInClose is stopped while its first Close hook runs.
func stopInClose(cfg shutdown.Config) {
	cfg.Reserve = shortTimeout / 2 // what is frozen gets half a second, or Reserve if that is less
	m := newChildManager(cfg)
	for _, name := range []string{"first", "second"} {
		m.On(shutdown.Close, name, func(ctx context.Context) error {
			record(name + " begins" + inTime(ctx))
			time.Sleep(50 * time.Millisecond) // a hook of the same time would begin now
			record(name + " ends")
			return nil
		})
	}
	m.On(shutdown.Close, "third", func(ctx context.Context) error {
		stop()
		<-ctx.Done()
		return ctx.Err()
	})
	exitSlowly(m)
}

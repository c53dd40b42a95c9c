//go:build unix

package shutdown_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown"
)

// The main programs of signals_process_test.go, log_process_test.go and stopped_process_test.go.

// A shutdown that hangs ends at shortTimeout, for which the test has to wait. shortGrace is when
// a platform would kill the child, and the latest end that a test accepts.
const (
	shortTimeout = 1200 * time.Millisecond
	shortGrace   = 15 * time.Second
)

// stopTimeout is the timeout of children that are stopped during their shutdown. It is long enough
// to get there on a busy machine.
const stopTimeout = 4 * time.Second

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
			closed, hangs := make(chan struct{}), make(chan struct{})
			m.On(shutdown.Close, "hangs", func(context.Context) error {
				<-closed
				record("close hook hangs")
				close(hangs)
				sleepOn()
				return nil
			})
			m.On(shutdown.Close, "quick", func(context.Context) error { record("close hook"); close(closed); return nil })
			exitSlowly(m, func() { <-hangs })
		},
		"cause panics": func() {
			m := newChildManager(shutdown.Config{GracePeriod: time.Minute})
			m.On(shutdown.Close, "first", hook("close hook"))
			say("ready")
			var cause *brokenError
			m.Begin(cause)
			exit(m)
		},
		"close hook hangs": func() {
			m := newChildManager(shutdown.Config{GracePeriod: time.Hour, Signals: shutdown.DefaultSignals()})
			m.On(shutdown.Close, "hangs", func(context.Context) error { say("close hook hangs"); sleepOn(); return nil })
			m.Go("task", taskUntilStdinEnds)
			say("ready")
			exit(m)
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

		"run tracks": func() {
			cfg := shutdown.Config{Signals: announced(shutdown.DefaultSignals()), Logger: slog.New(text)}
			os.Exit(shutdown.ExitCode(shutdown.Run(cfg, trackUntilRefused)))
		},
		"start-up goes on": func() {
			m := newChildManager(shutdown.Config{GracePeriod: time.Minute})
			closed := make(chan struct{})
			m.On(shutdown.Close, "first", func(context.Context) error { record("close hook"); close(closed); return nil })
			say("ready")
			<-m.AcceptContext().Done()
			record("AcceptContext is done: " + context.Cause(m.AcceptContext()).Error())
			m.Go("consumer", func(context.Context) error { record("consumer ran"); return nil })
			<-closed // the shutdown does not wait for the end of the start-up
			time.Sleep(100 * time.Millisecond)
			record("start-up has ended")
			exit(m)
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
			cfg.Timeout = 6 * time.Second // the signal has to arrive before that
			m := newChildManager(cfg)
			m.On(shutdown.Close, "first", func(context.Context) error { <-term; record("close hook"); return nil })
			m.Begin(nil) // as preStop does
			say("ready")
			must(syscall.Kill(os.Getpid(), syscall.SIGTERM)) // not sent by the parent, which may be slow
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
			for range 50_000 { // it takes a while to end so many contexts
				_, cancel := context.WithCancel(m.AcceptContext())
				defer cancel()
			}
			m.Go("quick", func(ctx context.Context) error {
				<-ctx.Done()
				_, _ = os.Stderr.WriteString("stopping\n")
				return nil
			})
			say("ready")
			exit(m)
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

// serve is a program with a hook in each phase and one task, which ends when the parent closes
// stdin, so that nothing depends on the speed of the machine.
func serve(cfg shutdown.Config, more ...func(*shutdown.Manager)) {
	m := newChildManager(cfg)
	addHooks(m, shutdown.Leave, shutdown.Drain, shutdown.Close)
	for _, add := range more {
		add(m)
	}
	m.Go("task", taskUntilStdinEnds)
	<-taskBegun
	readyInWait(m)
	if cfg.Logger != nil && cfg.Logger.Handler() == slog.Handler(blockingLog{}) {
		os.Exit(shutdown.ExitCode(m.Wait()))
	}
	exit(m)
}

// trackUntilRefused is a service that counts its requests with the function Track.
func trackUntilRefused(m *shutdown.Manager) error {
	if m != shutdown.Default() {
		return errors.New("there are two Managers")
	}
	var drained atomic.Bool
	m.On(shutdown.Drain, "server", func(context.Context) error {
		time.Sleep(100 * time.Millisecond)
		drained.Store(true)
		return nil
	})
	ended := make(chan struct{})
	m.On(shutdown.Close, "db", func(context.Context) error { <-ended; return nil })
	go func() {
		defer close(ended)
		inPhase := make(map[shutdown.Phase]int)
		for {
			phase := m.Phase() // read first, so that it is not later than the phase that Track has seen
			done, ok := shutdown.Track("GET /")
			if !ok {
				record(fmt.Sprintf("refused after the drain: %t, lame duck %v", drained.Load(), m.Report().LameDuck))
				record(fmt.Sprintf("admitted in leave: %t, in drain: %t", inPhase[shutdown.Leave] > 0, inPhase[shutdown.Drain] > 0))
				return
			}
			inPhase[phase]++
			time.Sleep(100 * time.Microsecond)
			done()
		}
	}()
	readyInWait(m)
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
	exit(m)
}

// stop stops this process, as a SIGSTOP at this point would. The parent lets it continue.
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

type blockingLog struct{ slog.Handler }

func (blockingLog) Enabled(context.Context, slog.Level) bool  { return true }
func (blockingLog) Handle(context.Context, slog.Record) error { sleepOn(); return nil }

// A brokenError panics when it is printed and nil.
type brokenError struct{ text string }

func (e *brokenError) Error() string { return e.text }

type panickingLog struct{ slog.Handler }

func (panickingLog) Enabled(context.Context, slog.Level) bool  { return true }
func (panickingLog) Handle(context.Context, slog.Record) error { panic("the log is broken") }

// doNotFinish is stopped in a hook of phase in, if given.
func doNotFinish(cfg shutdown.Config, in ...shutdown.Phase) {
	cfg.Timeout = stopTimeout
	m := newChildManager(cfg)
	addHooks(m, shutdown.Leave, shutdown.Drain)
	for _, p := range in {
		m.On(p, "stops", func(context.Context) error { stop(); return nil })
	}
	m.On(shutdown.Close, "first", func(ctx context.Context) error { record("close hook" + inTime(ctx)); return nil })
	m.Go("task", taskUntilStdinEnds)
	exitSlowly(m, func() { hooksRan.Wait(); shutdown.AwaitLog(m) })
}

// stopInClose is stopped in the first of its Close hooks.
func stopInClose(cfg shutdown.Config) {
	cfg.Timeout, cfg.Reserve = stopTimeout, stopTimeout/2
	m := newChildManager(cfg)
	for _, name := range []string{"first", "second"} {
		m.On(shutdown.Close, name, func(ctx context.Context) error {
			record(name + " begins" + inTime(ctx))
			time.Sleep(50 * time.Millisecond) // a hook that runs at the same time would begin now
			record(name + " ends")
			return nil
		})
	}
	m.On(shutdown.Close, "third", func(ctx context.Context) error {
		stop()
		<-ctx.Done()
		return ctx.Err()
	})
	exitSlowly(m, func() { shutdown.AwaitLog(m) })
}

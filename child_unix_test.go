//go:build unix

package shutdown_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown"
)

// exit ends the child as any main does, but waits for all that a test reads. The Manager itself
// waits only a moment for hooks that it abandons and for its log.
func exit(m *shutdown.Manager) {
	code := shutdown.ExitCode(m.Wait())
	if hooksToRun.Load() > 0 && !slices.ContainsFunc(m.Report().Steps, func(s shutdown.Step) bool { return s.Abandoned }) {
		record("Wait has returned before the hooks have")
	}
	hooksRan.Wait()
	shutdown.AwaitLog(m)
	os.Exit(code)
}

// The hooks of addHooks.
var (
	hooksRan   sync.WaitGroup
	hooksToRun atomic.Int64
)

// readyInWait says "ready" when main has called Wait. If the shutdown ended before that, main
// would count as hanging.
func readyInWait(m *shutdown.Manager) {
	go func() {
		<-m.Waiting()
		say("ready")
	}()
}

// exitSlowly leaves time for a signal that the Manager may raise by mistake.
func exitSlowly(m *shutdown.Manager, await func()) {
	readyInWait(m)
	code := shutdown.ExitCode(m.Wait())
	await()
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

// announced tells the parent when an Action has run. A signal that is sent before the previous
// one of its kind was read is lost, in any program.
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
		run := hook(p.String() + " hook")
		hooksRan.Add(1)
		hooksToRun.Add(1)
		m.On(p, p.String()+" hook", func(ctx context.Context) error {
			defer func() { hooksToRun.Add(-1); hooksRan.Done() }()
			return run(ctx)
		})
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

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// say tells the parent; record writes to a file, which works with a broken pipe too.
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

// inTime says whether a Close hook was given time when it was started. On a busy machine its time
// may be up before it runs.
func inTime(ctx context.Context) string {
	m, _ := shutdown.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	r := m.Report()
	var started, before time.Duration // when this hook was started, and when the one before it had ended
	for _, s := range r.Steps {
		switch {
		case s.Phase == shutdown.Close && s.Running && s.Name != "":
			started = s.At
		case !s.Running:
			before = max(before, s.At+s.Took)
		}
	}
	switch {
	case started == 0:
		return ", abandoned"
	case deadline.After(r.Begun.Add(started)):
		return ", in time"
	case started-before > 100*time.Millisecond: // which takes no time: the Manager itself was not scheduled
		return stalled
	}
	return ", too late"
}

// stalled marks an event that proves nothing, because the process was not scheduled.
const stalled = ", not scheduled"

// sleepOn sleeps. With select{} the runtime might report a deadlock.
func sleepOn() { time.Sleep(time.Hour) }

package shutdown

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/internal/sequence"
	"github.com/gracefulgo/shutdown/internal/signame"
)

// A Phase is a stage of a Manager, from Running to Done. Hooks are registered for the
// three in between.
type Phase int

// The phases, in the order in which they come.
const (
	Running = Phase(sequence.Running) // the shutdown has not begun
	Leave   = Phase(sequence.Leave)   // deregister and fail readiness while still serving
	Drain   = Phase(sequence.Drain)   // stop accepting, finish in-flight work
	Close   = Phase(sequence.Close)   // release resources: databases, files, exporters
	Done    = Phase(sequence.Done)    // the shutdown has ended
)

func (p Phase) String() string { return sequence.Phase(p).String() }

// On registers stop to run in phase p. The name is for logs, errors and the Report: say
// what is stopped ("db", "consul"), not how.
//
// The hooks of Leave run at the same time, and so do those of Drain. The hooks of Close run
// one after another, the last registered first, as deferred calls do: what uses the
// database was opened after it.
//
// stop runs exactly once, on a goroutine of its own, whatever the other hooks do. Its
// context carries the Manager, and ends a moment before the hook's time is up. A Leave hook
// has the lame duck, or half of the time until the end of Drain if that is longer. A Drain
// hook has the time until Reserve begins. A Close hook has all the time that is left, less
// a minimum for each hook after it (500 ms, or an equal share if that is less). After the
// end of its context stop has a tenth of its time to return (at least 20 ms, at most 1 s).
// Then it is abandoned and reported by name. An error, a panic and a Goexit are recorded
// and are part of what Wait returns.
//
// On does not block and never runs stop itself. If phase p has begun or is over, stop runs
// at once; during Close it is the next to run. After the end stop runs at once, has 500 ms,
// and nothing waits for it.
//
// remove unregisters the hook, for a resource that is closed early. It returns true if stop
// will never run, and does not wait for a stop that runs.
//
// On panics if p is not Leave, Drain or Close, or if stop is nil.
func (m *Manager) On(p Phase, name string, stop func(context.Context) error) (remove func() bool) {
	if p < Leave || p > Close {
		panic(fmt.Sprintf("shutdown: On(%v, %q): the phase must be Leave, Drain or Close", p, name))
	}
	if stop == nil {
		panic(fmt.Sprintf("shutdown: On(%v, %q): stop is nil", p, name))
	}
	return m.sequence.On(sequence.Phase(p), name, stop)
}

// Closer makes a hook of a Close method, such as that of a database, a file or a client:
//
//	m.On(shutdown.Close, "db", shutdown.Closer(db))
//
// Close has no context: a Close that hangs is abandoned when its time is up. The hook fails
// if c is nil.
func Closer(c io.Closer) func(context.Context) error {
	return func(context.Context) error {
		if c == nil {
			return errors.New("the io.Closer is nil")
		}
		return c.Close()
	}
}

// BestEffort makes a hook of a stop that may fail without harm, such as flushing traces to
// a collector that may be down:
//
//	m.On(shutdown.Close, "traces", shutdown.BestEffort(2*time.Second, tp.Shutdown))
//
// stop has at most limit, and at most the time of the hook (see On). Its context ends a
// moment earlier (a tenth of limit, at least 20 ms, at most 1 s); a stop that ignores it is
// abandoned at limit. An error of stop, or that it was abandoned, is logged as a WARN and
// marked in the Report, and is no part of Wait's error. A panic and a Goexit are failures as
// in any hook. So is an error of stop that a hook around this one wraps or joins.
//
// BestEffort panics if limit is not positive or stop is nil.
func BestEffort(limit time.Duration, stop func(context.Context) error) func(context.Context) error {
	if limit <= 0 {
		panic(fmt.Sprintf("shutdown: BestEffort(%v): the limit must be positive", limit))
	}
	if stop == nil {
		panic(fmt.Sprintf("shutdown: BestEffort(%v): stop is nil", limit))
	}
	return func(ctx context.Context) error {
		defer sequence.InBestEffort(ctx)()
		limited, cancel := context.WithTimeoutCause(ctx, limit-sequence.Unwind(limit), ErrTimeout)
		defer cancel()
		e := effort{stop, make(chan error), make(chan struct{})}
		go e.runTracked(limited)
		timer := time.NewTimer(limit)
		defer timer.Stop()
		select {
		case err := <-e.returned:
			return err
		case <-timer.C:
			close(e.abandoned)
			return &sequence.BestEffortError{Err: sequence.ErrAbandoned}
		}
	}
}

// An effort is a run of what BestEffort was given.
type effort struct {
	stop      func(context.Context) error
	returned  chan error
	abandoned chan struct{}
}

func (e effort) runTracked(ctx context.Context) {
	err := sequence.ErrGoexit
	defer func() {
		if r := recover(); r != nil {
			err = sequence.NewPanicError(r)
		}
		select {
		case e.returned <- err:
		case <-e.abandoned:
			m, ok := FromContext(ctx)
			if _, panicked := err.(*sequence.PanicError); ok && panicked { //nolint:errorlint // of this very function
				m.logFailure(fmt.Errorf("shutdown: a best-effort stop that was abandoned: %w", err))
			}
		}
	}()
	if err = e.stop(ctx); err != nil {
		err = &sequence.BestEffortError{Err: err}
	}
}

// WaitFor is for Drain hooks that have to come after others. It blocks until all of the
// channels are closed, such as those that Drained of a server returns. If they are not
// closed at the end of WorkContext, or of ctx, which is the hook's, it logs a warning that
// names the hook and what has not ended, and returns, so that the hook has time left. It
// panics if a channel is nil.
func (m *Manager) WaitFor(ctx context.Context, hook string, channels ...<-chan struct{}) {
	for i, ch := range channels {
		if ch == nil {
			panic(fmt.Sprintf("shutdown: WaitFor: channel %d of %d is nil", i+1, len(channels)))
		}
	}
	for _, ch := range channels {
		select {
		case <-ch:
			continue
		default:
		}
		select {
		case <-ch:
			continue
		case <-m.WorkContext().Done():
		case <-ctx.Done():
		}
		m.log.Warn("shutdown: not waited for any longer", "hook", hook, "waiting_for", strings.Join(m.draining(hook), ", "))
		return
	}
}

// draining returns the Drain hooks that have not returned, except for one.
func (m *Manager) draining(except string) (names []string) {
	for _, s := range m.sequence.Snapshot().Steps {
		if s.Phase == sequence.Drain && s.Running && s.Name != "" && s.Name != except {
			names = append(names, s.Name)
		}
	}
	return names
}

var (
	// ErrTimeout is in the error of Wait if work was cut off or a hook abandoned because
	// the time was up. For errors.Is it is context.DeadlineExceeded as well.
	ErrTimeout = sequence.ErrTimeout

	// ErrForced is in the error of Wait if the end was forced. The error that matches it
	// wraps the cause.
	ErrForced = sequence.ErrForced
)

// HookError says which hook, worker or job an error comes from. It wraps that error.
type HookError struct {
	Phase Phase // Running for a worker or a job: a function given to Go, Job or Run
	Name  string
	Err   error
	kind  string // of a worker
}

func (e *HookError) Error() string {
	switch {
	case e.Phase != Running:
		return fmt.Sprintf("shutdown: %s hook %q: %v", e.Phase, e.Name, e.Err)
	case e.kind == kindStart:
		return fmt.Sprintf("shutdown: start: %v", e.Err)
	default:
		return fmt.Sprintf("shutdown: %s %q: %v", cmp.Or(e.kind, "worker"), e.Name, e.Err)
	}
}

func (e *HookError) Unwrap() error { return e.Err }

// SignalError is the cause of a shutdown that a signal has begun or forced.
type SignalError struct{ Signal os.Signal }

func (e SignalError) Error() string { return signalPrefix + signame.Name(e.Signal) }

const signalPrefix = "signal "

// ExitCode returns the exit code for a process whose Wait returned err: 0 if err is nil,
// 128+n if signal n forced the end, else 1.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	var forced *sequence.ForcedError
	var sig SignalError
	if errors.As(err, &forced) && errors.As(forced.Cause, &sig) {
		if n, ok := sig.Signal.(syscall.Signal); ok {
			return 128 + int(n)
		}
	}
	return 1
}

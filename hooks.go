package shutdown

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"
)

// A Phase is where a Manager is on its way from Running to Done. Hooks are
// registered for the three in between.
type Phase int

// The phases, in the order in which they come.
const (
	Running Phase = iota // nothing has begun
	Leave                // tell the world: readiness fails, the registry forgets us; serving goes on
	Drain                // take nothing new, finish what is in flight
	Close                // release: databases, files, exporters
	Done                 // the shutdown has ended
)

func (p Phase) String() string {
	if names := [...]string{"running", "leave", "drain", "close", "done"}; p >= 0 && int(p) < len(names) {
		return names[p]
	}
	return fmt.Sprintf("Phase(%d)", int(p))
}

// HookError says which hook, worker or job an error came from. It wraps that
// error.
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

// On registers stop to run in phase p. The name is for logs, errors and the
// Report: say what is stopped ("db", "consul"), not how.
//
// The hooks of Leave run at the same time, and so do those of Drain. Those of
// Close run one after another, the last registered first, as deferred calls
// do: what needs the database was opened after it.
//
// stop runs exactly once, on a goroutine of its own, whatever the other hooks
// do. Its context carries the Manager and ends a moment before its time is up:
// a Leave hook has the lame duck, or half of the time until the end of Drain if
// that is longer; a Drain hook has until Reserve begins; a Close hook has all
// that is left, less a floor for each hook after it (500 ms, or an equal share
// if that is smaller). After that it has a moment to return (a tenth of its
// time, at least 20 ms, at most 1 s); then it is left behind, by name. An
// error, a panic and a Goexit are recorded, and part of what Wait returns.
//
// On does not block and never runs stop itself. If phase p is over or under
// way, stop runs at once; during Close it is the next in line; after the end
// it runs at once with half a second, and nobody waits for it.
//
// remove takes the hook out again, for a resource that is closed early; it
// returns true if stop will never run. It does not wait for a stop that runs.
//
// On panics if p is not Leave, Drain or Close, or if stop is nil.
func (m *Manager) On(p Phase, name string, stop func(context.Context) error) (remove func() bool) {
	if p < Leave || p > Close {
		panic(fmt.Sprintf("shutdown: On(%v, %q): the phase must be Leave, Drain or Close", p, name))
	}
	if stop == nil {
		panic(fmt.Sprintf("shutdown: On(%v, %q): stop is nil", p, name))
	}
	h := &hook{phase: p, name: name, stop: stop}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch now := m.Phase(); {
	case now == Done:
		go m.runAfterEnd(h)
	case now >= p && p != Close && m.concurrent != nil:
		m.startLocked(m.concurrent, h)
	default:
		m.hooks = append(m.hooks, h)
		m.wake()
	}
	return func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		i := slices.Index(m.hooks, h)
		if i >= 0 {
			m.hooks = slices.Delete(m.hooks, i, i+1)
			h.removed = true
		}
		return h.removed
	}
}

type hook struct {
	phase      Phase
	name       string
	stop       func(context.Context) error
	removed    bool         // protected by the Manager's mu, as are the next two
	step       int          // its place in Manager.steps, once it runs
	ended      bool         // it returned, or was left behind
	bestEffort atomic.Int32 // so many functions that BestEffort returned run inside of it
}

// hookKey is the key of a hook in its context.
type hookKey struct{}

// afterEnd is what a hook gets that comes when the shutdown has ended.
const afterEnd = 500 * time.Millisecond

var (
	errGoexit     = errors.New("runtime.Goexit was called")
	errLeftBehind = error(leftBehindError{ErrTimeout})
)

// A leftBehindError is of a hook that did not return in time. It wraps ErrTimeout, or
// ErrForced if the end was forced.
type leftBehindError struct{ why error }

func (leftBehindError) Error() string   { return "did not return in time and was left behind" }
func (e leftBehindError) Unwrap() error { return e.why }

// leftBehindLocked is the error of hooks that are left behind now.
func (m *Manager) leftBehindLocked() error {
	if m.forced != nil {
		return leftBehindError{ErrForced}
	}
	return errLeftBehind
}

// takeLocked removes the pending hooks of phase p and returns them, in the
// order in which they were registered.
func (m *Manager) takeLocked(p Phase) []*hook {
	var taken, rest []*hook
	for _, h := range m.hooks {
		if h.phase == p {
			taken = append(taken, h)
		} else {
			rest = append(rest, h)
		}
	}
	m.hooks = rest
	return taken
}

// startLocked records that h runs and starts it.
func (m *Manager) startLocked(ctx context.Context, h *hook) {
	h.step = len(m.steps)
	m.steps = append(m.steps, Step{Phase: h.phase, Name: h.name, At: time.Since(m.begun), Running: true})
	m.active = append(m.active, h)
	m.note()
	go m.call(ctx, h)
}

// call runs a hook and records how it ended. Its name is what stacks looks for.
func (m *Manager) call(ctx context.Context, h *hook) {
	err := errGoexit
	defer func() {
		if r := recover(); r != nil {
			err = newPanicError(r)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.endLocked(h, err)
	}()
	err = h.stop(context.WithValue(ctx, hookKey{}, h))
}

// endLocked records the end of h, unless it was left behind before.
func (m *Manager) endLocked(h *hook, err error) {
	if h.ended {
		return
	}
	h.ended = true
	// No error of the hook's own is one of these, whatever it wraps or joins.
	effort, tolerated := err.(*bestEffortError) //nolint:errorlint // see above
	if tolerated {
		err = effort.err
	}
	_, leftBehind := err.(leftBehindError) //nolint:errorlint // see above
	tolerated = tolerated || leftBehind && h.bestEffort.Load() > 0
	m.active = slices.DeleteFunc(m.active, func(other *hook) bool { return other == h })
	m.leaveLocked(h.step, err)
	step := &m.steps[h.step]
	step.LeftBehind, step.BestEffort = leftBehind, tolerated
	switch failed := (&HookError{Phase: h.phase, Name: h.name, Err: err}); {
	case tolerated:
		m.logTolerated(failed)
	case err != nil:
		m.failLocked(failed)
	}
	m.wake()
}

// failLocked makes err part of what Wait returns, and logs it now: nobody
// knows whether the end will be reached.
func (m *Manager) failLocked(err error) {
	m.errs = append(m.errs, err)
	m.logFailure(err)
}

// leaveBehind gives up on every hook that runs.
func (m *Manager) leaveBehind() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.active) > 0 {
		m.endLocked(m.active[0], m.leftBehindLocked())
	}
}

// runAfterEnd is for hooks that are registered when there is nobody left to
// wait for them.
func (m *Manager) runAfterEnd(h *hook) {
	ctx, cancel := context.WithTimeoutCause(m.base, afterEnd, ErrTimeout)
	defer cancel()
	failed := func(err error) *HookError { return &HookError{Phase: h.phase, Name: h.name, Err: err} }
	defer func() {
		if r := recover(); r != nil {
			m.logFailure(failed(newPanicError(r)))
		}
	}()
	switch err := h.stop(ctx).(type) { //nolint:errorlint // joined with another error it is none
	case nil:
	case *bestEffortError:
		m.logTolerated(failed(err.err))
	default:
		m.logFailure(failed(err))
	}
}

// A panicError is what a hook or a worker panicked with, and where.
type panicError struct {
	value any
	stack string
}

func newPanicError(value any) *panicError {
	return &panicError{value, truncate(string(debug.Stack()), 4<<10)}
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n\n%s", e.value, e.stack) }

func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

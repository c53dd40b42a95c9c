package sequence

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gracefulgo/shutdown/internal/clip"
)

// A hook is a function that On registered.
type hook struct {
	phase      Phase
	name       string
	stop       func(context.Context) error
	removed    bool         // protected by the Sequence's mu, as are the next three
	step       int          // its place in Sequence.steps, once it runs
	behind     int          // so many Close hooks had to run after it when it started
	ended      bool         // it returned, or was abandoned
	bestEffort atomic.Int32 // so many best-effort functions run inside of it
}

// hookKey is the key of a hook in its context.
type hookKey struct{}

// InBestEffort says that the hook of ctx runs a function of best effort until done is
// called: if it is abandoned before that, its step is BestEffort.
func InBestEffort(ctx context.Context) (done func()) {
	h, ok := ctx.Value(hookKey{}).(*hook)
	if !ok {
		return func() {}
	}
	h.bestEffort.Add(1)
	return func() { h.bestEffort.Add(-1) }
}

// afterEnd is how long a hook may take that is registered after the end.
const afterEnd = 500 * time.Millisecond

// On registers stop for p, which is Leave, Drain or Close. See shutdown.Manager.On.
func (s *Sequence) On(p Phase, name string, stop func(context.Context) error) (remove func() bool) {
	h := &hook{phase: p, name: name, stop: stop}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch now := s.Phase(); {
	case now == Done:
		go s.runAfterEnd(h)
	case now >= p && p != Close && s.late != nil:
		s.startLocked(s.late, h)
	default:
		s.hooks = append(s.hooks, h)
		s.wake()
	}
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := slices.Index(s.hooks, h); i >= 0 {
			s.hooks = slices.Delete(s.hooks, i, i+1)
			h.removed = true
		}
		return h.removed
	}
}

// takeLocked removes the pending hooks of p and returns them in the order in which
// they were registered.
func (s *Sequence) takeLocked(p Phase) []*hook {
	var taken, rest []*hook
	for _, h := range s.hooks {
		if h.phase == p {
			taken = append(taken, h)
		} else {
			rest = append(rest, h)
		}
	}
	s.hooks = rest
	return taken
}

// startLocked records that h runs and starts it.
func (s *Sequence) startLocked(ctx context.Context, h *hook) {
	h.step = len(s.steps)
	s.steps = append(s.steps, Step{Phase: h.phase, Name: h.name, At: time.Since(s.begun), Running: true})
	s.active = append(s.active, h)
	s.config.Changed()
	go s.runTracked(ctx, h)
}

// runTracked runs a hook and records how it ended. Package stacks finds it by its name.
func (s *Sequence) runTracked(ctx context.Context, h *hook) {
	err := ErrGoexit
	defer func() {
		if r := recover(); r != nil {
			err = NewPanicError(r)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.endLocked(h, err)
	}()
	err = h.stop(context.WithValue(ctx, hookKey{}, h))
}

// endLocked records the end of h, unless it was abandoned before.
func (s *Sequence) endLocked(h *hook, err error) {
	if h.ended {
		return
	}
	h.ended = true
	s.active = slices.DeleteFunc(s.active, func(other *hook) bool { return other == h })
	step := &s.steps[h.step]
	step.judge(err)
	step.BestEffort = step.BestEffort || step.Abandoned && h.bestEffort.Load() > 0
	s.leaveLocked(h.step, step.Err)
	if step.Err != nil {
		s.config.Failed(*step, false)
	}
	s.wake()
}

// judge records what a hook returned. Only an error that is itself one of ours has
// a special meaning: a hook that wraps it, or joins it with others, has failed.
func (s *Step) judge(err error) {
	if effort, ok := err.(*BestEffortError); ok { //nolint:errorlint // see above
		err, s.BestEffort = effort.Err, true
	}
	_, s.Abandoned = err.(abandonedError) //nolint:errorlint // see above
	s.Err = err
}

// abandonAll gives up on every hook that runs.
func (s *Sequence) abandonAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.active) > 0 {
		s.endLocked(s.active[0], s.abandonedLocked())
	}
}

// abandonedLocked is the error of hooks that are abandoned now.
func (s *Sequence) abandonedLocked() error {
	if s.forced != nil {
		return abandonedError{ErrForced}
	}
	return ErrAbandoned
}

// runAfterEnd is for hooks that are registered when nothing waits for them any more.
func (s *Sequence) runAfterEnd(h *hook) {
	ctx, cancel := context.WithTimeoutCause(s.config.Base, afterEnd, ErrTimeout)
	defer cancel()
	step := Step{Phase: h.phase, Name: h.name, Err: ErrGoexit}
	defer func() {
		if r := recover(); r != nil {
			step.judge(NewPanicError(r))
		}
		if step.Err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.config.Failed(step, true)
		}
	}()
	step.judge(h.stop(ctx))
}

var (
	// ErrGoexit is the error of a function that called runtime.Goexit.
	ErrGoexit = errors.New("runtime.Goexit was called")

	// ErrAbandoned is the error of a function that was given up. It wraps ErrTimeout.
	ErrAbandoned error = abandonedError{ErrTimeout}
)

// An abandonedError wraps ErrTimeout, or ErrForced if the end was forced.
type abandonedError struct{ why error }

func (abandonedError) Error() string   { return "did not return in time and was abandoned" }
func (e abandonedError) Unwrap() error { return e.why }

// A BestEffortError is an error that does not count.
type BestEffortError struct{ Err error }

func (e *BestEffortError) Error() string { return e.Err.Error() }
func (e *BestEffortError) Unwrap() error { return e.Err }

// A PanicError is what a hook or a worker panicked with, and where.
type PanicError struct {
	value any
	stack string
}

// NewPanicError is called where the panic is recovered.
func NewPanicError(value any) *PanicError {
	return &PanicError{value, clip.Bytes(string(debug.Stack()), 4<<10)}
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n\n%s", e.value, e.stack) }

func (e *PanicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

package shutdown

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Go runs a worker, a source of work such as a consumer or a ticker, on a
// goroutine of its own. Its context is AcceptContext: when that ends, run has
// until the end of Drain to return. A worker is in flight as what Track counts
// is, under its name.
//
// An error or a panic before the shutdown begins it, and is the cause; after
// that it is recorded as a *HookError with phase Running. context.Canceled
// after the beginning is success, and nil is no event at any time. If the
// shutdown has begun, Go does nothing: run is not called.
//
// Go panics if run is nil.
func (m *Manager) Go(name string, run func(context.Context) error) {
	if run == nil {
		panic(fmt.Sprintf("shutdown: Go(%q): run is nil", name))
	}
	// The lock keeps the beginning away until the worker is counted: a worker
	// that runs is always waited for.
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Phase() != Running {
		return
	}
	done, ok := m.tracker.Track(name)
	if !ok {
		return
	}
	go func() {
		defer done()
		err := errGoexit
		defer func() {
			if r := recover(); r != nil {
				err = newPanicError(r)
			}
			m.workerEnded(name, err)
		}()
		err = run(m.accept)
	}()
}

func (m *Manager) workerEnded(name string, err error) {
	if err == nil {
		return
	}
	failed := &HookError{Phase: Running, Name: name, Err: err}
	canceled := errors.Is(err, context.Canceled)
	m.Begin(failed)
	m.mu.Lock()
	defer m.mu.Unlock()
	began := m.cause == error(failed) //nolint:errorlint // this very error, and no other that wraps it
	if m.Phase() == Done || !began && canceled {
		return
	}
	m.steps = append(m.steps, Step{Phase: Running, Name: name, Took: time.Since(m.begun), Err: err})
	m.note()
	if !began { // the cause is in what Wait returns already
		m.failLocked(failed)
	}
}

package shutdown

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// Go runs a worker, a source of work such as a consumer or a ticker, on a
// goroutine of its own, until it is told to stop. Its context is AcceptContext:
// when that ends, run has until the end of WorkContext to return. A worker is in
// flight as what Track counts is, under its name. Go does not block.
//
// An error or a panic before the shutdown begins it, and is the cause. Returning
// nil never begins a shutdown; before one it is an INFO line.
//
// After the beginning run should return nil or its context's error. An error is
// success only if the worker was not cut off (see Wait) and every leaf of the
// error's tree is context.Canceled or the cause of AcceptContext; it is logged
// then, with its text. Anything else is a failure, a *HookError with phase
// Running: errors.Join(flushErr, ctx.Err()) is one, and so is a gRPC status with
// the code Canceled. This makes a cancellation of the latter:
//
//	if status.Code(err) == codes.Canceled && ctx.Err() != nil {
//		return ctx.Err()
//	}
//
// If the shutdown has begun, Go does nothing: run is not called. It panics if
// run is nil.
func (m *Manager) Go(name string, run func(context.Context) error) {
	if run == nil {
		panic(fmt.Sprintf("shutdown: Go(%q): run is nil", name))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.startWorkerLocked(&worker{name: name, run: run})
}

// Job runs the work for which the program was started, such as an import or a
// migration, on a goroutine of its own. Like a worker it gets AcceptContext, and
// is in flight under its name. Job does not block.
//
// The shutdown begins when Wait has been called and the last job has returned,
// or at once when one fails, which is the cause.
//
// A job that is told to stop before it is done must not exit 0, or nobody runs it
// again. After the beginning only a job that returns nil, and was not cut off (see
// Wait), is done. Any error, context.Canceled too, means that it did not finish: a
// *HookError with phase Running.
//
// If the shutdown has begun, run is not called, and the job is a *HookError that
// says "not started"; after the end that is only logged. Job panics if run is nil.
func (m *Manager) Job(name string, run func(context.Context) error) {
	if run == nil {
		panic(fmt.Sprintf("shutdown: Job(%q): run is nil", name))
	}
	w := &worker{name: name, kind: kindJob, run: run}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.startWorkerLocked(w) {
		m.jobs.any, m.jobs.running = true, m.jobs.running+1
		return
	}
	m.workerFailedLocked(w, errNotStarted)
}

// The kinds of functions that a Manager runs before a shutdown.
const (
	kindWorker = "" // given to Go
	kindJob    = "job"
	kindStart  = "start" // given to Run
)

// A worker is a function that Go, Job or Run was given.
type worker struct {
	name, kind string
	run        func(context.Context) error

	// ended is told how run ended, if somebody wants to know; after that the
	// worker is not in flight any more.
	ended func(err error)
}

// jobs are those of Job.
type jobs struct {
	any     bool // there was one
	running int
}

// doneLocked reports whether the program has nothing left to do.
func (j jobs) doneLocked() bool { return j.any && j.running == 0 }

// jobsDone is the cause of a shutdown for which nothing is left to do: a request.
type jobsDone struct{}

func (jobsDone) Error() string { return "the last job has returned" }

var errNotStarted = errors.New("not started: the shutdown had begun")

// failure is err as part of what Wait returns.
func (w *worker) failure(err error) *HookError {
	return &HookError{Phase: Running, Name: w.name, Err: err, kind: w.kind}
}

// startWorkerLocked starts w unless the shutdown has begun. The lock keeps the
// beginning away until w is counted: what runs is always waited for.
func (m *Manager) startWorkerLocked(w *worker) bool {
	if m.Phase() != Running {
		return false
	}
	done := m.tracker.trackWorker(w.name)
	go func() {
		err := errGoexit
		defer func() {
			if r := recover(); r != nil {
				err = newPanicError(r)
			}
			m.workerEnded(w, err, done)
		}()
		err = w.run(m.accept)
	}()
	return true
}

// workerEnded judges how w ended. Until done is called w is in flight, so nothing
// that is recorded before comes too late.
func (m *Manager) workerEnded(w *worker, err error, done func() (cut bool)) {
	isCause := err != nil && m.begin(w.failure(err), false)
	// The methods of err are the program's own code: they run before the lock.
	canceled := err != nil && isCancellation(err, context.Cause(m.accept))
	if w.kind == kindJob && err != nil && !isCause {
		err = fmt.Errorf("did not finish: %w", err)
	}
	if w.ended != nil { // not before the beginning, to which it matters whether Wait has been called
		w.ended(err)
	}
	m.mu.Lock()
	cut := done()
	lastJob := false
	if w.kind == kindJob {
		m.jobs.running--
		lastJob = m.waited && m.jobs.doneLocked()
	}
	switch {
	case err == nil:
		if m.Phase() == Running && w.kind == kindWorker {
			m.log.info("shutdown: worker returned", "worker", shorten(w.name, maxTaskName))
		}
	case isCause: // which is in what Wait returns already
		m.steps = append(m.steps, w.step(err, 0))
		m.note()
	case w.kind != kindJob && !cut && canceled:
		m.log.info("shutdown: worker stopped", "worker", shorten(w.name, maxTaskName), "error", logText{err, maxErrText})
	default:
		m.workerFailedLocked(w, err)
	}
	m.mu.Unlock()
	if lastJob {
		m.Begin(errJobsDone)
	}
}

// workerFailedLocked records a failure that is not the cause of the shutdown.
// After the end it can only be logged.
func (m *Manager) workerFailedLocked(w *worker, err error) {
	if m.Phase() == Done {
		m.logFailure(w.failure(err))
		return
	}
	m.steps = append(m.steps, w.step(err, time.Since(m.begun)))
	m.note()
	m.failLocked(w.failure(err))
}

func (w *worker) step(err error, took time.Duration) Step {
	return Step{Phase: Running, Name: w.name, Took: took, Err: err, Kind: w.kind}
}

// isCancellation reports whether every leaf of err's tree is context.Canceled or
// cause: an error that is more than that must not be taken for success. Neither
// must one whose Unwrap panics, as that of a typed nil may.
func isCancellation(err, cause error) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = false
		}
	}()
	if same(err, context.Canceled) || same(err, cause) {
		return true
	}
	switch e := err.(type) { //nolint:errorlint // it walks the tree
	case interface{ Unwrap() error }:
		inner := e.Unwrap()
		return inner != nil && isCancellation(inner, cause)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if inner == nil || !isCancellation(inner, cause) {
				return false
			}
		}
		return len(e.Unwrap()) > 0
	}
	return false
}

// same is ==, which panics if both are of a type that cannot be compared.
func same(a, b error) bool {
	return reflect.ValueOf(a).Comparable() && a == b //nolint:errorlint // this very error
}

package shutdown

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/internal/clip"
	"github.com/gracefulgo/shutdown/internal/inflight"
	"github.com/gracefulgo/shutdown/internal/sequence"
)

// Go runs a worker, a source of work such as a consumer or a ticker, on a goroutine of its
// own. Its context is AcceptContext: when that ends, run has until the end of WorkContext to
// return. A worker is in flight under its name, like work that Track counts. Go does not
// block.
//
// An error or a panic that comes before the shutdown begins it, and is its cause. Returning
// nil never begins a shutdown; before one it is logged.
//
// After the beginning run should return nil or its context's error. An error counts as
// success only if the worker was not cut off (see Wait), and every leaf of the error's tree
// is context.Canceled or the cause of AcceptContext; it is logged with its text. Any other
// error is a failure, a *HookError with phase Running. errors.Join(flushErr, ctx.Err()) is a
// failure, and so is a gRPC status with the code Canceled, which this turns into a
// cancellation:
//
//	if status.Code(err) == codes.Canceled && ctx.Err() != nil {
//		return ctx.Err()
//	}
//
// If the shutdown has begun, Go does nothing: run is not called. It panics if run is nil.
func (m *Manager) Go(name string, run func(context.Context) error) {
	if run == nil {
		panic(fmt.Sprintf("shutdown: Go(%q): run is nil", name))
	}
	_ = m.startWorker(&worker{name: name, run: run})
}

// Job runs the purpose of the program, such as an import or a migration, on a goroutine of
// its own. Like a worker it gets AcceptContext, and is in flight under its name. Job does
// not block.
//
// The shutdown begins when Wait has been called and the last job has returned, or at once
// when a job fails, which is the cause.
//
// A job that is told to stop before it is done must not exit 0, because nobody would run it
// again. After the beginning a job is done only if it returns nil and was not cut off (see
// Wait). Any error, context.Canceled too, means that it did not finish: a *HookError with
// phase Running.
//
// If the shutdown has begun, run is not called, and Wait's error has a *HookError that says
// "not started"; after the end that is only logged. Job panics if run is nil.
func (m *Manager) Job(name string, run func(context.Context) error) {
	if run == nil {
		panic(fmt.Sprintf("shutdown: Job(%q): run is nil", name))
	}
	w := &worker{name: name, kind: kindJob, run: run}
	if !m.startWorker(w) {
		m.sequence.AddStep(func(now sequence.Phase, since time.Duration) *sequence.Step {
			return m.workerFailed(w, errNotStarted, now, since)
		})
	}
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

// jobs counts the functions given to Job.
type jobs struct {
	mu      sync.Mutex // protects what follows
	any     bool       // there was one
	running int
}

func (j *jobs) begin() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.any, j.running = true, j.running+1
}

func (j *jobs) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.running--
}

// done reports whether the program has nothing left to do.
func (j *jobs) done() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.any && j.running == 0
}

// jobsDone is the cause of a shutdown for which nothing is left to do: a request.
type jobsDone struct{}

func (jobsDone) Error() string { return "the last job has returned" }

var (
	errJobsDone   = jobsDone{}
	errNotStarted = errors.New("not started: the shutdown had begun")
)

// failure is err as part of what Wait returns.
func (w *worker) failure(err error) *HookError {
	return &HookError{Phase: Running, Name: w.name, Err: err, kind: w.kind}
}

// startWorker starts w unless the shutdown has begun. It is counted before the
// shutdown can begin, so what runs is always waited for.
func (m *Manager) startWorker(w *worker) bool {
	var task inflight.Task
	if !m.sequence.IfRunning(func() {
		task, _ = m.tracker.work.Begin(cmp.Or(w.kind, "worker"), w.name, nil) // it is open while Running
		if w.kind == kindJob {
			m.jobs.begin()
		}
	}) {
		return false
	}
	go m.runTracked(w, task)
	return true
}

// runTracked runs w. Package stacks finds it by its name.
func (m *Manager) runTracked(w *worker, task inflight.Task) {
	err := sequence.ErrGoexit
	defer func() {
		if r := recover(); r != nil {
			err = sequence.NewPanicError(r)
		}
		m.workerEnded(w, err, task)
	}()
	err = w.run(m.AcceptContext())
}

// workerEnded judges how w ended. Until its task ends w is in flight, so nothing
// that is recorded before comes too late.
func (m *Manager) workerEnded(w *worker, err error, task inflight.Task) {
	isCause := err != nil && m.begin(w.failure(err), false)
	// The methods of err are the program's own code: they run before any lock is taken.
	canceled := err != nil && isCancellation(err, context.Cause(m.AcceptContext()))
	if w.kind == kindJob && err != nil && !isCause {
		err = fmt.Errorf("did not finish: %w", err)
	}
	if w.ended != nil { // not before the beginning, to which it matters whether Wait has been called
		w.ended(err)
	}
	m.sequence.AddStep(func(now sequence.Phase, since time.Duration) *sequence.Step {
		cut := m.tracker.work.End(task)
		switch {
		case err == nil:
			if now == sequence.Running && w.kind == kindWorker {
				m.log.Info("shutdown: worker returned", "worker", clip.Line(w.name, maxTaskName))
			}
		case isCause: // which is in what Wait returns already
			return w.step(err, 0)
		case w.kind != kindJob && !cut && canceled:
			m.log.Info("shutdown: worker stopped", "worker", clip.Line(w.name, maxTaskName), "error", logText{err, maxErrText})
		default:
			return m.workerFailed(w, err, now, since)
		}
		return nil
	})
	if w.kind == kindJob {
		m.jobs.end()
		m.beginIfJobsDone()
	}
}

// beginIfJobsDone begins the shutdown if Wait has been called and the last job has
// returned.
func (m *Manager) beginIfJobsDone() {
	if closed(m.waiting) && m.jobs.done() {
		m.Begin(errJobsDone)
	}
}

// workerFailed records a failure that is not the cause of the shutdown. After
// the end it can only be logged. It is called inside of Sequence.AddStep.
func (m *Manager) workerFailed(w *worker, err error, now sequence.Phase, since time.Duration) *sequence.Step {
	failure := w.failure(err)
	if now == sequence.Done {
		m.logFailure(failure)
		return nil
	}
	m.fail(failure)
	return w.step(err, since)
}

func (w *worker) step(err error, took time.Duration) *sequence.Step {
	return &sequence.Step{Phase: sequence.Running, Kind: w.kind, Name: w.name, Took: took, Err: err}
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

// closed reports whether c is closed; nothing is ever sent on it.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

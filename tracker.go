package shutdown

import (
	"context"
	"time"

	"github.com/gracefulgo/shutdown/internal/inflight"
)

// A Tracker counts work in flight as a sync.WaitGroup does, and knows the name and the age of
// each piece. Unlike a WaitGroup it can be closed: counting and closing are one atomic step,
// so no work is admitted after a Drain has returned.
//
// The zero value is ready for use. A Tracker must not be copied. A Manager has its own,
// behind [Manager.Track]; a Tracker by itself is for a part of a program that ends earlier.
type Tracker struct{ work inflight.Tracker }

// Task is a piece of work in flight.
type Task struct {
	Name  string
	Since time.Time // when it was admitted
}

// Track counts a piece of work as in flight until done is called. Logs and reports use its
// name: "GET /orders/{id}", not "request".
//
// ok is false if the Tracker is closed, which it is when Drain has returned: then the work
// must not be done. While a Drain waits, Track still succeeds, because work in flight may
// start nested work.
//
// done is never nil. It may be called from any goroutine and more than once; only the first
// call has an effect. Neither Track nor done blocks.
func (t *Tracker) Track(name string) (done func(), ok bool) {
	task, ok := t.work.Begin(name, nil)
	if !ok {
		return func() {}, false
	}
	return func() { t.work.End(task) }, true
}

// Drain blocks until nothing is in flight, or until ctx ends. When it returns, the Tracker is
// closed: Track fails from then on.
//
// The error is nil if nothing is in flight. Otherwise it says how much is left and wraps the
// cause of ctx. A second call, also at the same time, waits for what is still in flight.
func (t *Tracker) Drain(ctx context.Context) error { return t.work.Drain(ctx) }

// Tasks returns what is in flight now, oldest first. It does not block.
func (t *Tracker) Tasks() []Task { return tasks(t.work.Items()) }

func tasks(items []inflight.Item) (tasks []Task) {
	for _, i := range items {
		tasks = append(tasks, Task(i))
	}
	return tasks
}

// Track counts a piece of work as in flight until done is called. Drain waits for it; logs
// and reports use its name. ok is false if the drain has ended: then the work must not be
// done. Before that, also in Leave and Drain, Track succeeds. See [Tracker.Track].
func (m *Manager) Track(name string) (done func(), ok bool) { return m.tracker.Track(name) }

// Tasks returns what is in flight now, oldest first: what Track, Go and Job count.
func (m *Manager) Tasks() []Task { return m.tracker.Tasks() }

package shutdown

import (
	"context"
	"time"

	"github.com/gracefulgo/shutdown/internal/inflight"
	"github.com/gracefulgo/shutdown/internal/warning"
)

// A Tracker counts work in flight, as a sync.WaitGroup does, and knows the
// name and the age of every piece of it. Unlike a WaitGroup it can be closed:
// counting and closing are one atomic step, so no work slips in behind a wait
// that has already returned.
//
// The zero value is ready for use. A Tracker must not be copied. A Manager has
// one of its own, behind [Manager.Track]; a Tracker by itself serves where a
// part of a program ends before the whole.
type Tracker struct{ work inflight.Tracker }

// Task is a piece of work in flight.
type Task struct {
	Name  string
	Since time.Time // when it was admitted
}

// Track counts a piece of work as in flight until done is called. The name is
// what logs and reports call it: "GET /orders/{id}", not "request".
//
// ok is false if the Tracker is closed, which is to say that a Drain has
// returned: then the work must not be done. While a Drain waits, Track still
// succeeds: what is in flight may start nested work, and the last of it closes
// the Tracker in the same step in which it ends.
//
// done is never nil. It may be called from any goroutine and more than once;
// only the first call counts. Neither Track nor done blocks.
func (t *Tracker) Track(name string) (done func(), ok bool) {
	task, ok := t.work.Begin(name, nil)
	if !ok {
		return func() {}, false
	}
	return func() { t.work.End(task) }, true
}

// Drain waits until nothing is in flight. It blocks until then, or until ctx
// ends. When it returns, whatever the result, the Tracker is closed: Track
// refuses from then on, for good.
//
// The error is nil if nothing is in flight; otherwise it says how much was
// left and wraps the cause of ctx. A second call, also one at the same time,
// waits for what is still in flight.
func (t *Tracker) Drain(ctx context.Context) error { return t.work.Drain(ctx) }

// Tasks returns what is in flight now, oldest first. It does not block.
func (t *Tracker) Tasks() []Task { return tasks(t.work.Items()) }

func tasks(items []inflight.Item) (tasks []Task) {
	for _, i := range items {
		tasks = append(tasks, Task(i))
	}
	return tasks
}

// Track counts a piece of work as in flight until done is called; Drain waits
// for it, and logs and reports call it by name. ok is false if it is too late,
// because the drain has ended: then the work must not be done. Until then, also
// in Leave and Drain, Track succeeds: what was accepted is work like any other.
// See [Tracker.Track]; done may be called more than once.
func (m *Manager) Track(name string) (done func(), ok bool) { return m.tracker.Track(name) }

// Tasks returns what is in flight now, oldest first: what Track, Go and Job count.
func (m *Manager) Tasks() []Task { return m.tracker.Tasks() }

func init() {
	inflight.Of = func(m any) *inflight.Tracker { return &m.(*Manager).tracker.work }
	warning.Log = func(m any, msg string, args ...any) { m.(*Manager).log.Warn(msg, args...) }
}

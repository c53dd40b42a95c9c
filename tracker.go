package shutdown

import (
	"context"
	"slices"
	"sync"
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
	// "worker", "job", "start", the kind that a server gave to [Manager.TrackAs], such as
	// "http" and "grpc", or empty for Track.
	Kind  string    `json:"kind,omitempty"`
	Name  string    `json:"name"`
	Since time.Time `json:"since"` // when it was admitted
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
func (t *Tracker) Track(name string) (done func(), ok bool) { return t.track("", name) }

func (t *Tracker) track(kind, name string) (done func(), ok bool) {
	task, ok := t.work.Begin(kind, name, nil)
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

// TrackAs is Track for a server: kind says what all its tasks are, such as "http". Use few
// kinds, because metrics count by kind.
func (m *Manager) TrackAs(kind, name string) (done func(), ok bool) {
	return m.tracker.track(kind, name)
}

// Tasks returns what is in flight now, oldest first: what Track, Go and Job count.
func (m *Manager) Tasks() []Task { return m.tracker.Tasks() }

// Traffic says what the servers of one kind have done since the shutdown began.
type Traffic struct {
	Kind                 string `json:"kind"`                   // as in Task
	RequestsWhileLeaving int    `json:"requests_while_leaving"` // received since the shutdown began, in whatever phase
	ConnectionsClosed    int    `json:"connections_closed"`     // in Drain, by the server or by its client
}

// AddTraffic adds what a server has done to that of its kind in Report.Traffic. The servers
// of this module call it during the shutdown; other servers may do so. It does not block,
// and does nothing after the end.
func (m *Manager) AddTraffic(t Traffic) {
	if m.Phase() == Done {
		return
	}
	m.traffic.mu.Lock()
	defer m.traffic.mu.Unlock()
	for i := range m.traffic.byKind {
		if sum := &m.traffic.byKind[i]; sum.Kind == t.Kind {
			sum.RequestsWhileLeaving += t.RequestsWhileLeaving
			sum.ConnectionsClosed += t.ConnectionsClosed
			return
		}
	}
	m.traffic.byKind = append(m.traffic.byKind, t)
}

// traffic is the sum of what AddTraffic was given.
type traffic struct {
	mu     sync.Mutex // protects what follows
	byKind []Traffic  // in the order in which the kinds came
}

func (t *traffic) list() []Traffic {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.byKind)
}

package faults

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// A journal is where the child writes down what happens to its hooks and its
// work: a pipe to the parent, which works when nothing else does.
type journal struct {
	mu sync.Mutex // protects w
	w  io.Writer
}

func (j *journal) add(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.At = time.Now()
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // an Event has nothing that cannot be JSON
	}
	_, _ = j.w.Write(append(line, '\n')) // an error means that the parent has exited, so no reader is left
}

// note adds an event that has a name only.
func (j *journal) note(kind, name string) { j.add(Event{Kind: kind, Name: name}) }

// A reader is the parent's side: it keeps the events and wakes the
// goroutines that wait for one.
type reader struct {
	mu      sync.Mutex // protects what follows
	events  []Event
	changed chan struct{} // closed at the next event
	ended   bool
}

func newReader() *reader { return &reader{changed: make(chan struct{})} }

// read returns when the pipe is closed, which the end of the child does.
func (r *reader) read(pipe io.Reader) {
	decoder := json.NewDecoder(pipe)
	for {
		var e Event
		err := decoder.Decode(&e)
		r.mu.Lock()
		if err == nil {
			r.events = append(r.events, e)
		}
		r.ended = err != nil
		close(r.changed)
		r.changed = make(chan struct{})
		r.mu.Unlock()
		if err != nil { // the end, or half an event of a child that was killed
			return
		}
	}
}

// all returns the events until now.
func (r *reader) all() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Event(nil), r.events...)
}

// await waits for an event, and reports whether it came before the journal ended
// and before timeout.
func (r *reader) await(kind, name string, timeout time.Duration) (Event, bool) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for at := 0; ; {
		r.mu.Lock()
		for ; at < len(r.events); at++ {
			if e := r.events[at]; e.Kind == kind && (name == "" || e.Name == name) {
				r.mu.Unlock()
				return e, true
			}
		}
		ended, changed := r.ended, r.changed
		r.mu.Unlock()
		if ended {
			return Event{}, false
		}
		select {
		case <-changed:
		case <-timer.C:
			return Event{}, false
		}
	}
}

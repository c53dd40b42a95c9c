package faults

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// A journal is the child's list of what happens to its hooks and its work. It is
// written to a pipe to the parent, which works when log and disk do not.
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
		panic(err) // an Event can always be encoded
	}
	_, _ = j.w.Write(append(line, '\n')) // it fails only if the parent has exited
}

// note adds an event that has only a name.
func (j *journal) note(kind, name string) { j.add(Event{Kind: kind, Name: name}) }

// A reader is the parent's end of the journal. It keeps the events and wakes the
// goroutines that wait for one.
type reader struct {
	mu      sync.Mutex // protects what follows
	events  []Event
	changed chan struct{} // closed at the next event
	ended   bool
}

func newReader() *reader { return &reader{changed: make(chan struct{})} }

// read returns when the pipe is closed, by the end of the child.
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
		if err != nil { // EOF, or half an event of a child that was killed
			return
		}
	}
}

// all returns the events so far.
func (r *reader) all() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Event(nil), r.events...)
}

// await waits for an event, and reports whether it came before the end of the journal
// and within timeout. An empty name matches every event of the kind.
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

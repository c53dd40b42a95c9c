package shutdown

import (
	"sync"
	"time"
)

const (
	// How long a start or a shutdown waits for a disk that does not answer. It is
	// counted in wake-ups: when the machine has no CPU to spare, they come as late
	// as the goroutine that saves.
	diskPatience = 250 * time.Millisecond
	diskTick     = diskPatience / 10
	// A disk that takes longer is worth a line in the log.
	slowDisk = time.Second
)

// A keeper keeps a copy of the newest state in a place that may be slow, full
// or dead. It works on a goroutine of its own, which exists only while there is
// something to save: touch never waits, flush waits for a bounded time, and
// states that come while one is being saved are skipped but for the newest.
type keeper struct {
	save func() // looks at the state itself; never called twice at once
	path string // for the log
	log  *logQueue

	mu      sync.Mutex    // protects what follows; a leaf: no other lock is taken under it
	changed bool          // since save last looked
	saving  bool          // a goroutine is in run
	since   time.Time     // when the save under way began
	saved   chan struct{} // closed when there is nothing to save; made by flush
	closed  bool          // by flush
}

// keep makes the keepers. That of the record has something to save at once, that
// of the termination log when the shutdown begins.
func (m *Manager) keep(path string) {
	l := &terminationLog{path: m.env.terminationLog, state: m.Report}
	m.keepers = []*keeper{{save: l.save, path: l.path, log: m.log}}
	if path != "" {
		m.record = newRecorder(path, m)
		k := &keeper{save: m.record.save, path: m.record.path, log: m.log}
		m.record.again = func() { time.AfterFunc(recordRetry, k.touch) }
		m.keepers = append(m.keepers, k)
		k.touch()
	}
}

// note tells the keepers that the state has changed. It does not wait, and may
// be called with mu held.
func (m *Manager) note() {
	for _, k := range m.keepers {
		k.touch()
	}
}

// flushKeepers waits until the end of the shutdown has been saved, or until by.
func (m *Manager) flushKeepers(by time.Time) {
	for _, k := range m.keepers {
		if !k.flush(by) {
			m.log.error("shutdown: post-mortem: the end could not be written in time", "path", k.path)
		}
	}
}

// touch says that the state has changed.
func (k *keeper) touch() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	k.changed = true
	if !k.saving {
		k.saving, k.since = true, time.Now()
		go k.run()
	}
}

// run ends when there is nothing left to save.
func (k *keeper) run() {
	finished := false
	defer func() {
		if !finished { // an error or a name of the program's own panicked when it was asked for its text
			_ = recover()
			go k.run()
		}
	}()
	for k.next() {
		k.saveOnce()
	}
	finished = true
}

func (k *keeper) saveOnce() {
	slow := time.AfterFunc(slowDisk, func() {
		k.log.warn("shutdown: post-mortem: the disk does not answer", "path", k.path)
	})
	defer slow.Stop()
	k.save()
}

func (k *keeper) next() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changed {
		k.changed, k.since = false, time.Now()
		return true
	}
	k.saving = false
	if k.saved != nil {
		close(k.saved)
		k.saved = nil
	}
	return false
}

// flush waits until the newest state has been saved, until one save has taken
// diskPatience, so that a disk which hangs already costs nothing, or until by.
// It reports whether all has been saved. What changes after that is not.
func (k *keeper) flush(by time.Time) bool {
	k.mu.Lock()
	k.closed = true
	if k.saving && k.saved == nil {
		k.saved = make(chan struct{})
	}
	saved := k.saved
	k.mu.Unlock()
	var since time.Time // when the save began that patience is for
	var patience time.Duration
	for {
		k.mu.Lock()
		saving, began := k.saving, k.since
		k.mu.Unlock()
		if !saving {
			return true
		}
		if !since.Equal(began) {
			since, patience = began, time.Until(began.Add(diskPatience))
		}
		left := min(patience, time.Until(by))
		if left <= 0 {
			return false
		}
		if closedWithin(saved, min(left, diskTick)) {
			return true
		}
		patience -= diskTick
	}
}

// closedWithin waits for c to be closed, for at most d, counted in wake-ups.
func closedWithin(c <-chan struct{}, d time.Duration) bool {
	for ; d > 0; d -= diskTick {
		timer := time.NewTimer(min(d, diskTick))
		select {
		case <-c:
			timer.Stop()
			return true
		case <-timer.C:
		}
	}
	select {
	case <-c:
		return true
	default:
		return false
	}
}

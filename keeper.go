package shutdown

import (
	"sync"
	"time"
)

// slowDisk is worth a line in the log.
const slowDisk = time.Second

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

// flushKeepers waits until the end of the shutdown has been saved, for at most d
// in all.
func (m *Manager) flushKeepers(d time.Duration) {
	by := time.Now().Add(d)
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
		k.saving = true
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
		k.changed = false
		return true
	}
	k.saving = false
	if k.saved != nil {
		close(k.saved)
		k.saved = nil
	}
	return false
}

// flush waits until the newest state has been saved, or until by, and reports
// which. What changes after that is not saved.
func (k *keeper) flush(by time.Time) bool {
	k.mu.Lock()
	k.closed = true
	if !k.saving {
		k.mu.Unlock()
		return true
	}
	if k.saved == nil {
		k.saved = make(chan struct{})
	}
	saved := k.saved
	k.mu.Unlock()
	timer := time.NewTimer(time.Until(by))
	defer timer.Stop()
	select {
	case <-saved:
		return true
	case <-timer.C:
		return false
	}
}

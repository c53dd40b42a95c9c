package postmortem

import (
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/internal/wakeups"
)

const (
	// Patience is how long a start or a shutdown waits for a disk that does not
	// answer, counted in wake-ups.
	Patience = 250 * time.Millisecond
	// A disk that takes longer is worth a line in the log.
	slowDisk = time.Second
)

// A Keeper keeps a copy of the newest state in a place that may be slow, full or
// unavailable. It works on a goroutine of its own, which exists only while there is
// something to save: Touch never waits, Flush waits for a bounded time, and of the
// states that come while one is being saved only the newest is saved.
type Keeper struct {
	Path string

	save func() // looks at the state itself; never called twice at once
	warn func(msg string, args ...any)

	mu      sync.Mutex    // protects what follows; a leaf: no other lock is taken under it
	changed bool          // since save last looked
	saving  bool          // a goroutine is in run
	since   time.Time     // when the save under way began
	saved   chan struct{} // closed when there is nothing to save; made by Flush
	closed  bool          // by Flush
}

// Touch says that the state has changed. It may be called with any lock held.
func (k *Keeper) Touch() {
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
func (k *Keeper) run() {
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

func (k *Keeper) saveOnce() {
	slow := time.AfterFunc(slowDisk, func() {
		k.warn("shutdown: post-mortem: the disk does not answer", "path", k.Path)
	})
	defer slow.Stop()
	k.save()
}

func (k *Keeper) next() bool {
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

// Flush waits until the newest state has been saved, until one save has taken
// Patience, so that a disk which hangs already costs nothing, or until by.
// It reports whether all has been saved. What changes after that is not.
func (k *Keeper) Flush(by time.Time) bool {
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
			since, patience = began, time.Until(began.Add(Patience))
		}
		left := min(patience, time.Until(by))
		if left <= 0 {
			return false
		}
		if wakeups.Await(saved, min(left, wakeups.Tick)) {
			return true
		}
		patience -= wakeups.Tick
	}
}

// Saving reports whether there is something left to save.
func (k *Keeper) Saving() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.saving
}

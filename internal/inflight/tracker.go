// Package inflight counts work in flight, with the name and the age of each piece. It
// does not know phases or Managers.
package inflight

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Namer makes the name of a task when work in flight is listed. TaskName may be called at
// any time until the task has ended, from any goroutine.
type Namer interface{ TaskName() string }

// A Task identifies a piece of work for End.
type Task struct {
	generation  uint64
	shard, slot int32
}

// An Item is a piece of work in flight.
type Item struct {
	Kind  string
	Name  string
	Since time.Time // when it was admitted
}

// A Tracker counts work in flight. The zero value is ready for use. A Tracker must not be
// copied.
type Tracker struct {
	// Work is counted in shards, so that cores do not compete for one cache line. The
	// pool hands each processor the shard that it used last.
	local sync.Pool // *int32, the index of a shard
	next  atomic.Uint32
	none  chan struct{} // made by the first Drain, closed when nothing is in flight; protected by all shards' locks

	shards [shardCount]shard
}

// Begin counts a piece of work as in flight until End. Its name is name, or what n
// makes if that is not nil. ok is false if the Tracker is closed.
func (t *Tracker) Begin(kind, name string, n Namer) (task Task, ok bool) {
	local, _ := t.local.Get().(*int32)
	if local == nil {
		next := int32(t.next.Add(1) % shardCount)
		local = &next
	}
	task.shard = *local
	since := time.Since(epoch)
	s := &t.shards[task.shard]
	s.mu.Lock()
	if !s.closed {
		task.slot, ok = s.takeLocked(), true
		slot := &s.slots[task.slot]
		slot.kind, slot.name, slot.namer, slot.since, slot.inUse = kind, name, n, since, true
		slot.cut, slot.late = s.cutting, s.cutting
		task.generation = slot.generation
		s.inFlight++
	}
	s.mu.Unlock()
	t.local.Put(local)
	return task, ok
}

// End ends a task, and reports whether it was cut off. Only the first call counts.
func (t *Tracker) End(task Task) (cut bool) {
	return t.shards[task.shard].end(task.slot, task.generation)
}

// Drain waits until nothing is in flight. It blocks until then, or until ctx
// ends. When it returns, whatever the result, the Tracker is closed: Begin
// fails from then on.
//
// The error is nil if nothing is in flight; otherwise it says how much was
// left and wraps the cause of ctx. A second call, also one at the same time,
// waits for what is still in flight.
func (t *Tracker) Drain(ctx context.Context) error {
	t.lockAll()
	if t.none == nil {
		t.none = make(chan struct{})
		for i := range t.shards {
			t.shards[i].drains = t
		}
		t.closeIfNoneLocked()
	}
	none := t.none
	t.unlockAll()

	select {
	case <-none:
		return nil
	case <-ctx.Done():
	}
	t.lockAll()
	defer t.unlockAll()
	n := 0
	for i := range t.shards {
		t.shards[i].closed = true
		n += t.shards[i].inFlight
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("shutdown: drain with %d still in flight: %w", n, context.Cause(ctx))
}

// Items returns what is in flight now, oldest first. It does not block.
func (t *Tracker) Items() []Item {
	return t.list(false, func(slot) bool { return true })
}

// CutOff marks all work in flight, and all work that is admitted from now on, as cut off,
// in one atomic step. A second call changes nothing.
func (t *Tracker) CutOff() {
	t.lockAll()
	defer t.unlockAll()
	for i := range t.shards {
		s := &t.shards[i]
		if s.cutting {
			return
		}
		s.cutting = true
		for j := range s.slots {
			s.slots[j].cut = s.slots[j].inUse
		}
	}
}

// CutItems returns the work that was cut off, oldest first, including work that has ended
// since.
func (t *Tracker) CutItems() []Item {
	return t.list(true, func(s slot) bool { return s.cut })
}

// CutInFlight returns those of CutItems that were in flight at CutOff.
func (t *Tracker) CutInFlight() []Item {
	return t.list(true, func(s slot) bool { return s.cut && !s.late })
}

// LateItems returns those of CutItems that were admitted after CutOff.
func (t *Tracker) LateItems() []Item {
	return t.list(true, func(s slot) bool { return s.late })
}

// list returns the wanted tasks in flight and, if returned is true, also those that were cut
// off and have ended.
func (t *Tracker) list(returned bool, wanted func(slot) bool) []Item {
	var items []Item
	namers := make(map[int]Namer) // called without a lock, because they are not our code
	now := time.Now()
	sinceEpoch := now.Sub(epoch)
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		add := func(slots []slot) {
			for _, slot := range slots {
				if !slot.inUse || !wanted(slot) {
					continue
				}
				if slot.namer != nil {
					namers[len(items)] = slot.namer
				}
				items = append(items, Item{Kind: slot.kind, Name: slot.name, Since: now.Add(slot.since - sinceEpoch)})
			}
		}
		add(s.slots)
		if returned {
			add(s.returned)
		}
		s.mu.Unlock()
	}
	for i, n := range namers {
		items[i].Name = n.TaskName()
	}
	slices.SortStableFunc(items, func(a, b Item) int { return a.Since.Compare(b.Since) })
	return items
}

// Count returns the length of Items.
func (t *Tracker) Count() int {
	n := 0
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += t.shards[i].inFlight
		t.shards[i].mu.Unlock()
	}
	return n
}

// closeIfNoneLocked needs the locks of all shards: that is what makes the
// count exact and the closing atomic with it.
func (t *Tracker) closeIfNoneLocked() {
	for i := range t.shards {
		if t.shards[i].inFlight > 0 {
			return
		}
	}
	for i := range t.shards {
		t.shards[i].closed = true
		t.shards[i].drains = nil
	}
	close(t.none)
}

func (t *Tracker) lockAll() {
	for i := range t.shards {
		t.shards[i].mu.Lock()
	}
}

func (t *Tracker) unlockAll() {
	for i := range t.shards {
		t.shards[i].mu.Unlock()
	}
}

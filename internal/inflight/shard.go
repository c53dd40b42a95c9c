package inflight

import (
	"sync"
	"time"
	"unsafe"
)

// shardCount is how many shards a Tracker has.
const shardCount = 32

// A shard counts a part of the work in flight, under a lock of its own.
type shard struct {
	shardState
	// Two cache lines: the adjacent-line prefetcher of x86 pairs them.
	_ [128 - unsafe.Sizeof(shardState{})%128]byte
}

type shardState struct {
	mu       sync.Mutex // protects what follows
	inFlight int
	closed   bool     // no work is admitted any more
	cutting  bool     // CutOff was called: work that is admitted from now on is cut off
	returned []slot   // copies of the slots of work that was cut off and has ended
	free     int32    // first free slot plus one; 0 is none
	slots    []slot   // only grows, to the most that was ever in flight at once
	drains   *Tracker // told when inFlight reaches zero; nil unless a Drain waits
}

// A slot holds one task. Slots are reused. The generation distinguishes a second End of an old
// task from the first End of a new one.
type slot struct {
	generation uint64
	kind, name string
	namer      Namer         // nil if name is set
	since      time.Duration // since the epoch below
	inUse      bool
	cut        bool // the work was in flight at CutOff, or is late
	late       bool // the work was admitted after CutOff
	nextFree   int32
}

// epoch makes a start time one clock reading instead of two: time.Since reads
// the monotonic clock alone.
var epoch = time.Now()

func (s *shard) takeLocked() int32 {
	if s.free == 0 {
		s.slots = append(s.slots, slot{})
		return int32(len(s.slots) - 1) //nolint:gosec // two thousand million tasks do not fit in memory
	}
	i := s.free - 1
	s.free = s.slots[i].nextFree
	return i
}

// end ends a task, and reports whether it was cut off.
func (s *shard) end(i int32, generation uint64) (cut bool) {
	s.mu.Lock()
	slot := &s.slots[i]
	if n := slot.namer; slot.cut && n != nil && slot.generation == generation {
		// The task stays on the list, and its Namer must not be called after its end.
		s.mu.Unlock()
		name := n.TaskName()
		s.mu.Lock()
		if slot = &s.slots[i]; slot.generation == generation {
			slot.name, slot.namer = name, nil
		}
	}
	if slot.generation != generation {
		s.mu.Unlock()
		return false
	}
	if cut = slot.cut; cut {
		s.returned = append(s.returned, *slot)
	}
	slot.generation++
	slot.kind, slot.name, slot.namer, slot.inUse, slot.cut, slot.late = "", "", nil, false, false, false
	slot.nextFree, s.free = s.free, i+1
	s.inFlight--
	// Whichever task is the last of all is also the last of its shard.
	var drains *Tracker
	if s.inFlight == 0 {
		drains = s.drains
	}
	s.mu.Unlock()
	if drains != nil {
		drains.lockAll()
		if s.drains != nil { // no other task was the last meanwhile
			drains.closeIfNoneLocked()
		}
		drains.unlockAll()
	}
	return cut
}

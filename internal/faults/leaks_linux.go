package faults

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"go.uber.org/goleak"
)

// mustNotLeak reports whether no goroutine and no descriptor may be left: no work and
// no hook was abandoned, and no fault outlives the shutdown. In a storm of signals
// there is no time to look.
func (s *service) mustNotLeak(end *End) bool {
	r := end.Report
	for _, step := range r.Steps {
		if step.Abandoned || isServer(step) && step.Err != nil {
			return false
		}
	}
	storm := s.plan.First.Count > 1
	for _, later := range s.plan.Later {
		storm = storm || later.Count > 1
	}
	return len(r.Unfinished) == 0 && s.plan.Logger != loggerBlocks && s.plan.Disk == "" && !storm
}

// lookForLeaks compares goroutines and descriptors with those at the start of the
// process.
func (s *service) lookForLeaks(goroutines goleak.Option, descriptors map[string]string) {
	setDescriptors(1 << 10)
	var err error
	var left map[string]string
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		err = goleak.Find(goroutines)
		left = openDescriptors()
		for fd, what := range left {
			if descriptors[fd] == what || ofRuntime[what] {
				delete(left, fd)
			}
		}
		if err == nil && len(left) == 0 {
			return
		}
	}
	if err != nil {
		s.journal.add(Event{Kind: leaked, Name: "goroutines", Error: err.Error()})
	}
	if len(left) > 0 {
		s.journal.add(Event{Kind: leaked, Name: "descriptors", Error: fmt.Sprint(left)})
	}
}

// ofRuntime are descriptors of Go's runtime.
var ofRuntime = map[string]bool{"anon_inode:[eventpoll]": true, "anon_inode:[eventfd]": true}

// openDescriptors returns the open files by descriptor.
func openDescriptors() map[string]string {
	const dir = "/proc/self/fd/"
	open := make(map[string]string)
	entries, _ := os.ReadDir(dir) // empty without /proc
	for _, e := range entries {
		if what, err := os.Readlink(dir + e.Name()); err == nil { // ReadDir's own descriptor is closed by now
			open[e.Name()] = what
		}
	}
	return open
}

// limitDescriptors leaves room for that many more descriptors than are open.
func limitDescriptors(spare int) {
	setDescriptors(uint64(len(openDescriptors()) + spare)) //nolint:gosec // a few dozen
}

func setDescriptors(n uint64) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		panic(err)
	}
	limit.Cur = min(n, limit.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		panic(err)
	}
}

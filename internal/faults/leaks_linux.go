package faults

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"go.uber.org/goleak"
)

// shouldBeQuiet reports whether nothing may be left: nothing was left behind, and
// nothing is broken that outlives the shutdown. In a storm of signals there is
// no time to look.
func (s *service) shouldBeQuiet(end *End) bool {
	r := end.Report
	for _, step := range r.Steps {
		if step.LeftBehind || isServer(step) && step.Err != nil {
			return false
		}
	}
	storm := s.plan.First.Count > 1
	for _, later := range s.plan.Later {
		storm = storm || later.Count > 1
	}
	return len(r.Unfinished) == 0 && s.plan.Logger != loggerBlocks && s.plan.Disk == "" && !storm
}

func (s *service) lookForLeaks(quiet goleak.Option, there map[string]string) {
	setDescriptors(1 << 10)
	var err error
	var left map[string]string
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		err = goleak.Find(quiet)
		left = openDescriptors()
		for fd, what := range left {
			if there[fd] == what || harmless[what] {
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

// harmless are descriptors of Go's runtime.
var harmless = map[string]bool{"anon_inode:[eventpoll]": true, "anon_inode:[eventfd]": true}

// openDescriptors returns what is open, by number.
func openDescriptors() map[string]string {
	const dir = "/proc/self/fd/"
	open := make(map[string]string)
	entries, _ := os.ReadDir(dir) // without /proc nothing is found
	for _, e := range entries {
		if what, err := os.Readlink(dir + e.Name()); err == nil { // that of ReadDir is closed by now
			open[e.Name()] = what
		}
	}
	return open
}

// limitDescriptors leaves room for so many more than there are.
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

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// cpuTime returns the processor time of a process so far, to the nanosecond: the sum
// over its threads, none of which end while a Go server is busy. It is 0 if the kernel
// has no schedstat.
func cpuTime(pid int) time.Duration {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // it fails only for a bad pattern
	var sum time.Duration
	for _, name := range threads {
		var ran time.Duration
		if text, err := os.ReadFile(name); err == nil {
			_, _ = fmt.Sscan(string(text), &ran)
		}
		sum += ran
	}
	return sum
}

//go:build linux

package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"
)

// memory is a process's resident set size, now and at most, in bytes.
type memory struct {
	rss, peak int64
}

var (
	vmRSS = regexp.MustCompile(`(?m)^VmRSS:\s*(\d+) kB$`)
	vmHWM = regexp.MustCompile(`(?m)^VmHWM:\s*(\d+) kB$`)
)

func readMemory(pid int) (m memory, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	for re, field := range map[*regexp.Regexp]*int64{vmRSS: &m.rss, vmHWM: &m.peak} {
		found := re.FindSubmatch(text)
		if found == nil {
			return memory{}, fmt.Errorf("no %s in the status of %d", re, pid) // as in that of a zombie
		}
		kb, err := strconv.ParseInt(string(found[1]), 10, 64)
		if err != nil {
			return memory{}, err
		}
		*field = kb << 10
	}
	return m, nil
}

// watchPeak reads the peak until stop is called or the process has ended. The kernel
// keeps the peak, so only a rise between the last read and the exit is missed. wait4's
// ru_maxrss would miss nothing, but starts with the peak of the parent.
func watchPeak(pid int) (stop func() (peak int64)) {
	ended, last := make(chan struct{}), make(chan int64)
	go func() {
		var peak int64
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ended:
				last <- peak
				return
			}
			if m, err := readMemory(pid); err == nil {
				peak = m.peak
			}
		}
	}()
	return func() int64 {
		close(ended)
		return <-last
	}
}

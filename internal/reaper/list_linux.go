package reaper

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// List describes the first of count processes, each with its age or the reason why
// it could not be signalled, and says how many more there are:
// "7 ./app (1.2s), 9 sleep 600 (operation not permitted) and 3 more".
func List(count int, processes []Process) string {
	const most = 20
	var b strings.Builder
	for i, p := range processes[:min(len(processes), most)] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d %s", p.Pid, p.Command)
		if p.Errno != 0 {
			fmt.Fprintf(&b, " (%v)", p.Errno)
		} else {
			fmt.Fprintf(&b, " (%v)", p.Age.Round(100*time.Millisecond))
		}
	}
	if more := count - min(len(processes), most); more > 0 && len(processes) > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}

// Descendants returns the descendants of this process that have not exited, parents before
// their children, and the PIDs of its children that have exited and wait to be reaped. It
// may block while it reads a command line.
func Descendants() (alive []Process, exited []int, err error) {
	self := os.Getpid()
	members, err := descendants(self)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range members {
		if m.alive() {
			alive = append(alive, Process{Pid: m.pid, Command: m.commandLine(), Age: m.age()})
		} else if m.parent == self {
			exited = append(exited, m.pid)
		}
	}
	return alive, exited, nil
}

// Handles reports whether a process has a handler for a signal, or blocks it to read it. It
// is true if that is not known.
func Handles(pid int, sig unix.Signal) bool {
	var buf [1024]byte
	m, ok := readStat(strconv.Itoa(pid), buf[:])
	return !ok || !showsCaught() || m.handles(sig)
}

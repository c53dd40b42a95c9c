//go:build !processgroup

package process

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/clip"
	"github.com/gracefulgo/shutdown/internal/reaper"
	"github.com/gracefulgo/shutdown/internal/signame"
)

// happened logs a step of the reaper's, and follows it.
func (t *Tree) happened(e reaper.Event) {
	switch e.Kind {
	case reaper.LeaderEnded:
		if e.Count > 0 {
			t.log.info("process: the child has ended", "pid", t.pid, "child", inWords(e.Status), "members", e.Count, "processes", list(e.Count, e.Processes))
		}
	case reaper.Signalled:
		t.log.info("process: signalled", "pid", t.pid, "signal", signame.Name(e.Signal), "members", e.Count)
		if len(e.Processes) > 0 {
			t.log.warn("process: signal refused", "pid", t.pid, "signal", signame.Name(e.Signal), "processes", list(len(e.Processes), e.Processes))
		}
	case reaper.Waiting:
		t.log.info("process: waiting", "pid", t.pid, "members", e.Count, "processes", list(e.Count, e.Processes))
	case reaper.Killing:
		t.logKilling("pid", t.pid, "signal", "SIGKILL", "members", e.Count, "processes", list(e.Count, e.Processes))
		t.advance(Killing, nil)
	case reaper.GaveUp:
		var left []Survivor
		for _, p := range e.Processes {
			s := Survivor{Pid: p.Pid, Command: p.Command, Err: errStillThere}
			if p.Errno != 0 {
				s.Err = p.Errno
			}
			left = append(left, s)
		}
		t.log.error("process: survivors", "pid", t.pid, "members", e.Count, "processes", list(e.Count, e.Processes))
		t.advance(Survived, func() { t.left = left })
	}
}

// maxListed is how many processes a log line names.
const maxListed = 20

// list describes the first of count processes, and says how many more there are.
func list(count int, processes []reaper.Process) string {
	var b strings.Builder
	for i, p := range processes[:min(len(processes), maxListed)] {
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
	if more := count - min(len(processes), maxListed); more > 0 && len(processes) > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return clip.Text(b.String())
}

func inWords(status unix.WaitStatus) string {
	if status.Signaled() {
		return "signal " + signame.Name(status.Signal())
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

//go:build !processgroup

package process

import (
	"syscall"

	"github.com/gracefulgo/shutdown/internal/clip"
	"github.com/gracefulgo/shutdown/internal/reaper"
	"github.com/gracefulgo/shutdown/internal/signame"
)

// handle logs an event of the reaper and changes the state accordingly.
func (t *Tree) handle(e reaper.Event) {
	switch e.Kind {
	case reaper.LeaderEnded:
		if e.Count > 0 {
			t.log.Info("process: the child has exited", "pid", t.pid, "child", waitStatusText(syscall.WaitStatus(e.Status)), "members", e.Count, "processes", list(e.Count, e.Processes))
		}
	case reaper.Signalled:
		t.log.Info("process: signal sent", "pid", t.pid, "signal", signame.Name(e.Signal), "members", e.Count)
		if len(e.Processes) > 0 {
			t.log.Warn("process: signal not delivered", "pid", t.pid, "signal", signame.Name(e.Signal), "processes", list(len(e.Processes), e.Processes))
		}
	case reaper.Waiting:
		t.log.Info("process: waiting for processes to exit", "pid", t.pid, "members", e.Count, "processes", list(e.Count, e.Processes))
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
		t.log.Error("process: processes could not be ended", "pid", t.pid, "members", e.Count, "processes", list(e.Count, e.Processes))
		t.advance(Survived, func() { t.left = left })
	}
}

// list describes the first of count processes for a log line.
func list(count int, processes []reaper.Process) string {
	return clip.Text(reaper.List(count, processes))
}

package drill

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/reaper"
)

// A family is all that a program starts. This process adopts the orphans among them, so
// none gets away.
type family struct {
	others map[int]bool // descendants of this process that are not of the family
}

func newFamily() (*family, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl", err)
	}
	f := &family{others: make(map[int]bool)}
	alive, exited := reaper.Descendants()
	for _, p := range alive {
		f.others[p.Pid] = true
	}
	for _, pid := range exited {
		f.others[pid] = true
	}
	return f, nil
}

// left returns the processes of the family that run. Those that have exited it reaps, so
// call it only when the program itself has been waited for.
func (f *family) left() (left []reaper.Process) {
	alive, exited := reaper.Descendants()
	for _, pid := range exited {
		if !f.others[pid] {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // not here any more is as good
		}
	}
	for _, p := range alive {
		if !f.others[p.Pid] {
			left = append(left, p)
		}
	}
	return left
}

// kill kills what is left.
func (f *family) kill(*program) {
	for range 1000 { // a process may hang in the kernel
		left := f.left()
		if len(left) == 0 {
			return
		}
		for _, p := range left {
			_ = unix.Kill(p.Pid, unix.SIGKILL) // it may have exited
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// names returns the command lines of what is left.
func (f *family) names(*program) (names []string) {
	for _, p := range f.left() {
		names = append(names, p.Command)
	}
	return names
}

package drill

import (
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/reaper"
)

// A processTree is the descendants of a program. This process becomes the parent of
// orphans, so that daemons are found too.
type processTree struct {
	others []int // descendants of this process that have nothing to do with the program
}

// treeIsKnown says whether processes that are left are found.
const treeIsKnown = true

// newTree is called before the program starts.
func newTree() (*processTree, error) {
	if err := reaper.CheckProc(); err != nil {
		return nil, err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl", err)
	}
	alive, exited, err := reaper.Descendants()
	for _, p := range alive {
		exited = append(exited, p.Pid)
	}
	return &processTree{others: exited}, err
}

// left returns the processes that run. It reaps those that have exited, so call it only
// when the program itself has been waited for.
func (t *processTree) left(*program) (commands []string, err error) {
	left, err := t.list()
	for _, p := range left {
		commands = append(commands, p.Command)
	}
	return commands, err
}

func (t *processTree) list() (left []reaper.Process, err error) {
	alive, exited, err := reaper.Descendants()
	for _, pid := range exited {
		if !slices.Contains(t.others, pid) {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // an error means that it has been reaped
		}
	}
	return slices.DeleteFunc(alive, func(p reaper.Process) bool { return slices.Contains(t.others, p.Pid) }), err
}

// kill kills the processes that run, and waits for a second at most until they have exited.
func (t *processTree) kill(*program) {
	for range 500 {
		left, err := t.list()
		if err != nil || len(left) == 0 {
			return
		}
		for _, p := range left {
			_ = unix.Kill(p.Pid, unix.SIGKILL) // an error means that it has exited, or is another user's
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// handles reports whether the program has a handler for a signal, as far as is known.
func handles(p *program, sig os.Signal) bool {
	n, ok := sig.(syscall.Signal)
	return !ok || reaper.Handles(p.cmd.Process.Pid, n)
}

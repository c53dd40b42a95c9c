//go:build unix && (!linux || processgroup)

package process

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// A group is a process group. A process that leaves it, with setsid or setpgid, is
// not found any more.
type group struct{ id int }

func startGroup(cmd *exec.Cmd) (*group, error) {
	attr := cmd.SysProcAttr
	var own syscall.SysProcAttr
	if attr != nil {
		own = *attr
	}
	if !own.Setsid { // setsid makes a group as well
		own.Setpgid, own.Pgid = true, 0
	}
	cmd.SysProcAttr = &own
	err := cmd.Start()
	cmd.SysProcAttr = attr
	if err != nil {
		return nil, err
	}
	return &group{cmd.Process.Pid}, nil
}

func (g *group) signal(sig os.Signal) error { return syscall.Kill(-g.id, sig.(syscall.Signal)) }

func (g *group) kill() error { return syscall.Kill(-g.id, syscall.SIGKILL) }

// left returns 1 if any process is left: the kernel does not say how many. Until
// the last has exited the group keeps its ID, and the child's PID is not reused.
// A zombie counts until its parent or init reaps it.
func (g *group) left() (int, []Survivor) {
	err := syscall.Kill(-g.id, 0)
	switch {
	case errors.Is(err, syscall.ESRCH):
		return 0, nil
	case err == nil:
		err = errStillThere
	}
	return 1, []Survivor{{Pid: g.id, Command: "process group", Err: err}}
}

func (g *group) close() {}

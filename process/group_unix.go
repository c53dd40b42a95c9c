//go:build unix && (!linux || processgroup)

package process

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// A group is a process group. Who leaves it, with setsid or a group of its own,
// is lost to it.
type group struct{ id int }

func startGroup(cmd *exec.Cmd) (*group, error) {
	attr := cmd.SysProcAttr
	var own syscall.SysProcAttr
	if attr != nil {
		own = *attr
	}
	if !own.Setsid { // which makes a group too
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

// left says whether anybody is left: the kernel does not say how many. As long as
// somebody is, the group keeps its number, and the child's pid is not given to
// anybody else. A zombie counts, until its parent or init reaps it.
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

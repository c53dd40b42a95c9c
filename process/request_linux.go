//go:build !processgroup

package process

import (
	"errors"
	"syscall"
	"time"
)

// A request is the first message to the reaper: what to start. Strings that may
// not be valid UTF-8 are sent as bytes, because JSON would change them.
type request struct {
	Path, Dir, Chroot []byte
	Args, Env         [][]byte
	Files             []bool // which of the descriptors from 0 are open
	Attr              *syscall.SysProcAttr
	Signal            syscall.Signal // to stop the tree with if the program exits
	Grace             time.Duration
}

// request describes the child of cmd.
func (t *Tree) request() (request, error) {
	cmd := t.cmd
	r := request{
		Path: []byte(cmd.Path), Dir: []byte(cmd.Dir), Files: []bool{true, true, true},
		Attr: new(syscall.SysProcAttr), Signal: t.options.Signal.(syscall.Signal), Grace: t.options.Grace,
	}
	args := cmd.Args
	if len(args) == 0 {
		args = []string{cmd.Path}
	}
	for _, arg := range args {
		r.Args = append(r.Args, []byte(arg))
	}
	for _, entry := range childEnv(cmd) {
		r.Env = append(r.Env, []byte(entry))
	}
	for _, f := range cmd.ExtraFiles {
		r.Files = append(r.Files, f != nil)
	}
	if cmd.SysProcAttr != nil {
		*r.Attr = *cmd.SysProcAttr
	}
	switch {
	case r.Attr.Ptrace:
		return r, errors.New("process: cmd.SysProcAttr.Ptrace: only the parent of a process can trace it, and that is the reaper")
	case r.Attr.Foreground:
		return r, errors.New("process: cmd.SysProcAttr.Foreground: Ctrl-C would go to the child and not to the program, which has to stop the child")
	}
	r.Chroot, r.Attr.Chroot = []byte(r.Attr.Chroot), ""
	// The reaper is started in the cgroup, and start fills in PidFD.
	r.Attr.UseCgroupFD, r.Attr.PidFD = false, nil
	if !r.Attr.Setsid && !r.Attr.Setpgid {
		r.Attr.Setpgid = true
	}
	return r, nil
}

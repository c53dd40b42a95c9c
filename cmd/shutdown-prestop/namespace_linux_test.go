package main

import (
	"os/exec"
	"syscall"
)

// newPidNamespace makes cmd pid 1, of a world of its own.
func newPidNamespace(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
}

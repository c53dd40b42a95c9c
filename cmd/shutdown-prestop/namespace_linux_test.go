package main

import (
	"os/exec"
	"syscall"
)

// newPidNamespace makes cmd PID 1 of a new PID namespace.
func newPidNamespace(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
}

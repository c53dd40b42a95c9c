package e2e

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the child if the tests are killed.
func dieWithParent(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

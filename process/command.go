package process

import (
	"os"
	"os/exec"
	"strings"
	"unicode"
)

// oneLine returns the name of cmd in logs and errors.
func oneLine(cmd *exec.Cmd) string {
	const most = 80
	line := cmd.String()
	cut := len(line) > most
	if cut {
		line = line[:most-3]
	}
	line = strings.Map(func(r rune) rune { // an argument may be a script of many lines
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(line, ""))
	if cut {
		line += "..."
	}
	return line
}

// release frees what is held for a tree that has exited, and returns the child's
// result.
func (t *Tree) release() error {
	copied := t.copies.wait(t.waitDelay, t.lost != nil)
	t.releaseCmd()
	t.cmd.ProcessState = t.status
	switch {
	case t.lost != nil:
		return t.lost
	case !t.status.Success():
		return &exec.ExitError{ProcessState: t.status}
	}
	return copied
}

// releaseCmd calls cmd.Wait to close cmd's pipes and to end its watch of its
// context. Wait must not wait for the child, which has been reaped: where
// os.Process has no handle (before Linux 5.4, on macOS) the PID may be that of
// another child, whose status Wait would take. So it gets a released Process, in a
// copy of cmd, because other goroutines may be using cmd.Process.
func (t *Tree) releaseCmd() {
	cmd := *t.cmd
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Release()
		cmd.Process = self
	}
	_ = cmd.Wait()
	t.cmd.WaitDelay = t.waitDelay
}

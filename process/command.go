package process

import (
	"os"
	"os/exec"
	"strings"
	"unicode"
)

// oneLine is what cmd is called in logs and errors.
func oneLine(cmd *exec.Cmd) string {
	const most = 80
	line := cmd.String()
	cut := len(line) > most
	if cut {
		line = line[:most-3]
	}
	line = strings.Map(func(r rune) rune { // a script of many lines
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

// release gives back what is held for a tree that has ended, and returns the
// child's result.
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

// releaseCmd closes cmd's pipes and ends its watch of its context, which Wait
// does, whatever it says about the process. It is given one that was let go: the
// real one has long been reaped, and where os.Process has no handle for it
// (before Linux 5.4, or on macOS) its pid may be another child's, whose status
// Wait would take. In a copy, because others may be using cmd.Process.
func (t *Tree) releaseCmd() {
	cmd := *t.cmd
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Release()
		cmd.Process = self
	}
	_ = cmd.Wait()
	t.cmd.WaitDelay = t.waitDelay
}

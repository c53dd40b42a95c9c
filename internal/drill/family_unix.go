//go:build unix && !linux

package drill

import "syscall"

// A family is all that a program starts: its process group. A process that makes a session
// of its own is not found.
type family struct{}

func newFamily() (*family, error) { return new(family), nil }

// names returns what runs. On these systems that has no names.
func (*family) names(p *program) []string {
	if syscall.Kill(-p.cmd.Process.Pid, 0) != nil {
		return nil
	}
	return []string{"processes of its group"}
}

func (*family) kill(p *program) {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // an error means that nothing is left
}

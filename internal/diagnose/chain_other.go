//go:build !linux

package diagnose

// What is asked of /proc has no answer here.

type status struct{}

// SwallowsTerm finds nothing on this system.
func (Process) SwallowsTerm() (Finding, bool) { return Finding{}, false }

// GivenChild finds nothing on this system.
func (Process) GivenChild() (Finding, bool) { return Finding{}, false }

func (Process) unreaped() *status                     { return nil }
func (Process) stillUnreaped(*status) (Finding, bool) { return Finding{}, false }

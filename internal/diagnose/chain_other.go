//go:build !linux

package diagnose

// Without a Linux /proc nothing is reported.

type status struct{}

// SwallowsTerm reports nothing on this system.
func (Process) SwallowsTerm() (Finding, bool) { return Finding{}, false }

// GivenChild reports nothing on this system.
func (Process) GivenChild() (Finding, bool) { return Finding{}, false }

func (Process) unreaped() *status                     { return nil }
func (Process) stillUnreaped(*status) (Finding, bool) { return Finding{}, false }

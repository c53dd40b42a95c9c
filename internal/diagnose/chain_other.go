//go:build !linux

package diagnose

// Without a Linux /proc nothing is reported.

type status struct{}

// swallowsTerm reports nothing on this system.
func (Process) swallowsTerm() (Finding, bool) { return Finding{}, false }

// givenChild reports nothing on this system.
func (Process) givenChild() (Finding, bool) { return Finding{}, false }

func (Process) unreaped() *status                     { return nil }
func (Process) stillUnreaped(*status) (Finding, bool) { return Finding{}, false }

// Package bridge is how packages of this module reach what a Manager does not export.
// Package shutdown sets the variables; m is a *shutdown.Manager.
package bridge

import "github.com/gracefulgo/shutdown/internal/inflight"

var (
	// InFlight returns the Tracker of m. For packages that count every request it is
	// cheaper than Manager.Track: a name is made only when somebody asks for it.
	InFlight func(m any) *inflight.Tracker

	// Warn writes a warning to the log of m. It does not block.
	Warn func(m any, msg string, args ...any)
)

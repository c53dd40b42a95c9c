// Package probe is what probes, preStop and the status page have to know of a
// Manager, and nobody else.
package probe

import (
	"context"
	"time"
)

// A State is that of a Manager.
type State struct {
	Started time.Time
	Waiting <-chan struct{} // closed when Wait is called for the first time
}

// Key is that of the State in the contexts of a Manager.
type Key struct{}

// Of returns the State of the Manager whose context ctx is.
func Of(ctx context.Context) State { return ctx.Value(Key{}).(State) }

// PreStop is who called /prestop. As a cause it is a request to the Manager, as
// a signal is.
type PreStop string

// PreStopPrefix is by which a PreStop is known when it comes back as text.
const PreStopPrefix = "preStop from "

func (p PreStop) Error() string { return PreStopPrefix + string(p) }

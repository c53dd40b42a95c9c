// Package prestop has the cause of a shutdown that a preStop hook has begun.
package prestop

// Cause is the address that called /prestop. It is a request to the Manager, as a
// signal is, and no failure.
type Cause string

// Prefix is how a Cause is recognised when it has become text.
const Prefix = "preStop from "

func (c Cause) Error() string { return Prefix + string(c) }

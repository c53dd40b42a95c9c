// Package prestop has the cause of a shutdown that /prestop of package admin has started.
package prestop

// A Cause is the address of the client that called /prestop. As a cause it is a request
// to stop, like a signal, and not a failure.
type Cause string

// Prefix is the start of a Cause's text, by which a Cause is recognised in the JSON of a
// Report.
const Prefix = "preStop from "

func (c Cause) Error() string { return Prefix + string(c) }

// Package warning is a way into a Manager's log for packages of this module.
package warning

// Log writes a warning to the log of m, a *shutdown.Manager. It does not block.
// Package shutdown sets it.
var Log func(m any, msg string, args ...any)

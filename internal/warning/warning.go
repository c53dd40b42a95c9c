// Package warning is a way into a Manager's log for packages of this module.
package warning

import "context"

// Key is that of the log's function for warnings in the contexts of a Manager.
type Key struct{}

// Log writes a warning to the log of the Manager whose context ctx is. It does not
// block.
func Log(ctx context.Context, msg string, args ...any) {
	if warn, ok := ctx.Value(Key{}).(func(string, ...any)); ok {
		warn(msg, args...)
	}
}

package thirdparty

import (
	"strings"

	"github.com/gracefulgo/shutdown/internal/testlog"
)

// A logBuffer keeps the log.
type logBuffer struct{ testlog.Buffer }

// has reports whether a line contains all parts.
func (b *logBuffer) has(parts ...string) bool {
	for line := range strings.Lines(b.String()) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			return true
		}
	}
	return false
}

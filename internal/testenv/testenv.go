// Package testenv has an environment for tests.
package testenv

import (
	"slices"
	"strings"

	"github.com/gracefulgo/shutdown/internal/grace"
)

// New is a process with pid 42, without a terminal, with these variables ("NAME=value"),
// and with files at those of vars that begin with a slash.
func New(vars ...string) grace.Env {
	return grace.Env{
		PID:      42,
		Terminal: func() bool { return false },
		Exists:   func(path string) bool { return slices.Contains(vars, path) },
		Lookup: func(key string) (string, bool) {
			for _, v := range vars {
				if k, value, ok := strings.Cut(v, "="); ok && k == key {
					return value, true
				}
			}
			return "", false
		},
	}
}

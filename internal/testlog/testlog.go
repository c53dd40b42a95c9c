// Package testlog has what tests write logs to.
package testlog

import (
	"strings"
	"sync"
)

// A Buffer can be read while it is written. The zero value is ready for use.
type Buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write adds p.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String is all that has been written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Lines returns the lines that contain with.
func (b *Buffer) Lines(with string) (found []string) {
	for line := range strings.SplitSeq(b.String(), "\n") {
		if strings.Contains(line, with) {
			found = append(found, line)
		}
	}
	return found
}

// Package progress shows how far a long measurement is.
package progress

import (
	"os"
	"sync"
	"time"
)

// every is how often a line is written where it cannot be rewritten.
const every = 5 * time.Second

// A Line is one line: a terminal shows it rewritten, elsewhere it is repeated every few
// seconds. Nil shows nothing.
type Line struct {
	file     *os.File
	terminal bool

	mu   sync.Mutex // protects last
	last time.Time
}

// New returns nil for nil.
func New(f *os.File) *Line {
	if f == nil {
		return nil
	}
	info, err := f.Stat()
	return &Line{file: f, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, last: time.Now()}
}

// Show shows the text.
func (l *Line) Show(text string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.terminal:
		text = "\r\x1b[K" + text
	case time.Since(l.last) < every:
		return
	default:
		text += "\n"
	}
	l.last = time.Now()
	_, _ = l.file.WriteString(text) // it only informs
}

// End removes the line from a terminal.
func (l *Line) End() {
	if l != nil && l.terminal {
		_, _ = l.file.WriteString("\r\x1b[K")
	}
}

package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// progress shows how far the measurement is: on a terminal in one line that is
// rewritten, elsewhere with a line every few seconds.
type progress struct {
	w        io.Writer
	terminal bool

	mu   sync.Mutex // protects last
	last time.Time
}

func newProgress(f *os.File) *progress {
	info, err := f.Stat()
	return &progress{w: f, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, last: time.Now()}
}

func (p *progress) show(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
		return
	}
	if time.Since(p.last) < 5*time.Second {
		return
	}
	p.last = time.Now()
	fmt.Fprintln(p.w, text)
}

func (p *progress) done() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress shows how far the measurement is: on a terminal in one line that is
// rewritten, elsewhere with a line every few seconds.
type progress struct {
	w        io.Writer
	terminal bool
	last     time.Time
}

func newProgress(f *os.File) *progress {
	info, err := f.Stat()
	return &progress{w: f, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, last: time.Now()}
}

func (p *progress) show(text string, rows []*row) {
	if !p.terminal && time.Since(p.last) < 5*time.Second {
		return
	}
	p.last = time.Now()
	text += "; lost so far:"
	for i, r := range rows {
		if i == 0 || rows[i-1].service != r.service {
			text += " " + r.service
		}
		text += fmt.Sprintf(" %d", r.Losses())
	}
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
		return
	}
	fmt.Fprintln(p.w, text)
}

// print writes a line that stays.
func (p *progress) print(text string) {
	p.done()
	fmt.Fprintln(p.w, text)
}

func (p *progress) done() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

package drill

import (
	"fmt"
	"os"
	"time"
)

// progress shows how far the rounds are: on a terminal in one line that is rewritten,
// elsewhere with a line every few seconds. Nil shows nothing.
type progress struct {
	file     *os.File
	terminal bool
	last     time.Time
}

func newProgress(f *os.File) *progress {
	if f == nil {
		return nil
	}
	info, err := f.Stat()
	return &progress{file: f, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, last: time.Now()}
}

func (p *progress) show(text string, rows []*Row) {
	if p == nil || !p.terminal && time.Since(p.last) < 5*time.Second {
		return
	}
	p.last = time.Now()
	text += "; lost so far:"
	for i, r := range rows {
		if r.several && (i == 0 || rows[i-1].Target != r.Target) {
			text += " " + r.Target.Name
		}
		text += fmt.Sprintf(" %d (%v)", r.Losses(), r.Mode)
	}
	if p.terminal {
		text = "\r\x1b[K" + text
	} else {
		text += "\n"
	}
	_, _ = p.file.WriteString(text) // it only informs
}

func (p *progress) done() {
	if p != nil && p.terminal {
		_, _ = p.file.WriteString("\r\x1b[K")
	}
}

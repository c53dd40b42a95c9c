package systemd

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gracefulgo/shutdown"
)

// systemd ignores a message of more than 4096 bytes.
const (
	maxErrorText = 500
	maxNames     = 5 // different ones
	maxName      = 100
)

// status is how far the shutdown is, in one line.
func status(r shutdown.Report) string {
	s := fmt.Sprintf("%s, %v of %v", r.Result(), round(r.Took), round(r.Timeout))
	if r.Forced != nil {
		s += ", forced"
	}
	if waiting := waitingFor(r); len(waiting) > 0 {
		return s + ", waiting for " + names(waiting, r.Begun.Add(r.Took))
	}
	if r.Phase == shutdown.Leave && r.Took < r.LameDuck {
		return s + ", waiting for the end of the lame duck"
	}
	return s
}

// waitingFor lists what keeps the shutdown from going on, oldest first.
func waitingFor(r shutdown.Report) []shutdown.Task {
	var waiting []shutdown.Task
	for _, s := range r.Steps {
		if s.Running && s.Name != "" {
			waiting = append(waiting, shutdown.Task{Name: fmt.Sprintf("%s hook %s", s.Phase, s.Name), Since: r.Begun.Add(s.At)})
		}
	}
	if r.Phase == shutdown.Drain {
		waiting = append(waiting, r.Unfinished...)
	}
	slices.SortStableFunc(waiting, func(a, b shutdown.Task) int { return a.Since.Compare(b.Since) })
	return waiting
}

// names lists tasks with their ages, those of the same name together.
func names(tasks []shutdown.Task, asOf time.Time) string {
	count := make(map[string]int)
	var oldest []shutdown.Task // the first of each name
	for _, t := range tasks {
		if count[t.Name]++; count[t.Name] == 1 {
			oldest = append(oldest, t)
		}
	}
	left := len(tasks)
	var list []string
	for _, t := range oldest[:min(len(oldest), maxNames)] {
		name, age := printable(t.Name, maxName), round(max(0, asOf.Sub(t.Since)))
		if n := count[t.Name]; n > 1 {
			list = append(list, fmt.Sprintf("%d x %s (oldest %v)", n, name, age))
		} else {
			list = append(list, fmt.Sprintf("%s (%v)", name, age))
		}
		left -= count[t.Name]
	}
	text := strings.Join(list, ", ")
	if left > 0 {
		text += fmt.Sprintf(" and %d more", left)
	}
	return text
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// printable returns s as at most limit bytes of one line of UTF-8. A newline would begin
// another assignment, and systemd ignores what is not UTF-8.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, s) // which replaces what is not UTF-8
	if len(s) <= limit {
		return s
	}
	end := limit - len("...")
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}

package shutdown

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
)

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprint(err) // which survives an Error that panics
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(errorText(err), "\n")
	return shorten(line, maxReason)
}

// shorten makes a name or an error fit for a line; all of the program's pass here.
// A client may have had a say in it, and must not forge lines, move the cursor
// or turn around what follows.
func shorten(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		s = string(r[:limit-3]) + "..."
	}
	return graphic(s)
}

// graphic replaces what is not to be seen: control characters and the like, and
// bytes that are no UTF-8.
func graphic(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// count is "1 task" or "3 tasks".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// names lists tasks, oldest first, with their ages: those that have the same name
// together, and of different ones no more than most. The others are counted.
func names(tasks []Task, asOf time.Time, most int) string {
	type group struct {
		name   string
		n      int
		oldest time.Time
	}
	var groups []*group
	byName := make(map[string]*group)
	for _, t := range tasks {
		g := byName[t.Name]
		if g == nil {
			g = &group{t.Name, 0, t.Since}
			byName[t.Name], groups = g, append(groups, g)
		}
		g.n++
	}
	var s strings.Builder
	left := len(tasks)
	for i, g := range groups {
		if i == most {
			fmt.Fprintf(&s, " and %d more", left)
			break
		}
		if i > 0 {
			s.WriteString(", ")
		}
		name, age := shorten(g.name, maxTaskName), round(max(asOf.Sub(g.oldest), 0)) // what is late has none
		if g.n == 1 {
			fmt.Fprintf(&s, "%s (%v)", name, age)
		} else {
			fmt.Fprintf(&s, "%d x %s (oldest %v)", g.n, name, age)
		}
		left -= g.n
	}
	return s.String()
}

// inSeconds is a duration as logs have it, to the millisecond.
func inSeconds(d time.Duration) float64 { return math.Round(d.Seconds()*1e3) / 1e3 }

func atMost(n int, list []string) string {
	if len(list) <= n {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:n], ", "), len(list)-n)
}

// round is for people: three digits are enough.
func round(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond)
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

// truncate cuts s to at most limit bytes and says so.
func truncate(s string, limit int) string {
	const cut = "\n... (cut)"
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-len(cut)], "") + cut
}

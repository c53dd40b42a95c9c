package shutdown

import (
	"fmt"
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

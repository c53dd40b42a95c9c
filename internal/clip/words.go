package clip

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// ErrorText is err's text; that of nil is empty. It survives an Error method that
// panics.
func ErrorText(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprint(err)
}

// FirstLine is the first line of err's text, as Line has it.
func FirstLine(err error, limit int) string {
	line, _, _ := strings.Cut(ErrorText(err), "\n")
	return Line(line, limit)
}

// Line makes a name or an error fit for a line of at most limit letters. Clients
// may have chosen a part of it, and must not be able to forge lines, to move the
// cursor or to reverse the direction of the text.
func Line(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		s = string(r[:limit-3]) + "..."
	}
	return Graphic(s)
}

// Graphic replaces what cannot be seen, such as control characters, and bytes that
// are not UTF-8.
func Graphic(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// Bytes cuts s to at most limit bytes, on a line of its own that says so.
func Bytes(s string, limit int) string {
	const cut = "\n... (cut)"
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-len(cut)], "") + cut
}

// Count is "1 task" or "3 tasks".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// AtMost joins the first n of list, and says how many more there are.
func AtMost(n int, list []string) string {
	if len(list) <= n {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:n], ", "), len(list)-n)
}

// Round rounds d for people: to about three digits.
func Round(d time.Duration) time.Duration {
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

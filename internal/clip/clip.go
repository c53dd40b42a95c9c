// Package clip limits the length of texts from other sources, such as the errors of a
// server, stacks and panics, before they become part of a log line or an error.
package clip

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Max is the longest text, in bytes. A log line with two or three of them is shorter
// than 8 KB.
const Max = 2 << 10

const mark = "... (cut)"

// Text is To with Max.
func Text(s string) string { return To(s, Max) }

// To returns s for a log line: at most limit bytes as slog quotes it, which may need
// two bytes for one, with a mark if it was cut. Newlines and tabs stay. Other control
// characters and invalid UTF-8 are replaced.
func To(s string, limit int) string {
	var b strings.Builder
	used, whole := 0, 0 // whole is the length of b that leaves room for mark
	for _, r := range s {
		if r != '\n' && r != '\t' && !unicode.IsGraphic(r) {
			r = unicode.ReplacementChar
		}
		used += quotedLen(r)
		if used > limit {
			return b.String()[:whole] + mark
		}
		b.WriteRune(r)
		if used+len(mark) <= limit {
			whole = b.Len()
		}
	}
	return b.String()
}

func quotedLen(r rune) int {
	switch {
	case strings.ContainsRune("\"\\\n\t", r):
		return 2
	case !strconv.IsPrint(r): // spaces of other widths
		return len(`\u3000`)
	}
	return utf8.RuneLen(r)
}

// Error returns an error that wraps err and has its text, cut to Max bytes. It returns
// err itself if nothing has to be cut.
func Error(err error) error {
	if err == nil {
		return nil
	}
	whole := fmt.Sprint(err) // recovers if err.Error panics
	text := Text(whole)
	if text == whole {
		return err
	}
	return clipped{text, err}
}

type clipped struct {
	text string
	err  error
}

func (c clipped) Error() string { return c.text }
func (c clipped) Unwrap() error { return c.err }

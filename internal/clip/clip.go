// Package clip bounds texts that come from elsewhere, such as the errors of a
// server, stacks and panics, before they become part of a log line or an error.
package clip

import "fmt"

// Max is how long such a text may be, in bytes. A log line with two or three of
// them stays below 8 KB.
const Max = 2 << 10

const mark = "... (cut)"

// Text returns s, or its beginning and a mark that it was cut: Max bytes in all.
func Text(s string) string {
	if len(s) <= Max {
		return s
	}
	end := Max - len(mark)
	for end > 0 && s[end]&0xc0 == 0x80 { // in the middle of a rune
		end--
	}
	return s[:end] + mark
}

// Error returns an error with the text of err, cut to Max bytes, that wraps err.
// It returns err itself if there is nothing to cut.
func Error(err error) error {
	if err == nil {
		return nil
	}
	text := fmt.Sprint(err) // which survives an Error that panics
	if len(text) <= Max {
		return err
	}
	return clipped{Text(text), err}
}

type clipped struct {
	text string
	err  error
}

func (c clipped) Error() string { return c.text }
func (c clipped) Unwrap() error { return c.err }

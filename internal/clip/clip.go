// Package clip bounds texts that come from elsewhere, such as the errors of a
// server, stacks and panics, before they become part of a log line or an error.
package clip

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
	if err == nil || len(err.Error()) <= Max {
		return err
	}
	return clipped{err}
}

type clipped struct{ err error }

func (c clipped) Error() string { return Text(c.err.Error()) }
func (c clipped) Unwrap() error { return c.err }

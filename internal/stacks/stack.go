package stacks

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// A stack is that of one or more goroutines.
type stack struct {
	goroutines int
	frames     []frame // the innermost first
	missing    int     // so many frames are missing before frames[gap], or unknown
	gap        int
}

// unknown is for a stack without its outermost frames: gap is len(frames).
const unknown = -1

type frame struct {
	function string
	place    string // base name of the file and line number, or empty
}

func (f frame) String() string {
	if f.place == "" {
		return f.function
	}
	return f.function + " " + f.place
}

// newFrame makes a frame of what the runtime wrote. The directory of a file
// follows from its function's package.
func newFrame(function, place string) frame {
	place = place[strings.LastIndexAny(place, `/\`)+1:]
	return frame{printable(function), printable(place)}
}

// printable returns s as valid UTF-8 that stays on its line in any log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

func (s *stack) has(match func(function string) bool) bool {
	return match != nil && slices.ContainsFunc(s.frames, func(f frame) bool { return match(f.function) })
}

// isEmpty reports whether the profile shows no function. This is so for the function that
// the compiler makes of "go f(x)": it stands for f, which has not been called yet.
func (s *stack) isEmpty() bool { return len(s.frames) == 0 && s.missing == 0 }

// text returns at most limit bytes of s: frames from both ends in turn as long
// as they fit, so that what is cut joins what is missing anyway.
func (s *stack) text(limit int) string {
	lines := make([]string, len(s.frames))
	length := -1
	for i, f := range s.frames {
		lines[i] = f.String()
		length += len(lines[i]) + len("\n")
	}
	if s.missing == 0 && length <= limit {
		return strings.Join(lines, "\n")
	}
	room := limit - len(s.note(len(lines)))
	if room < 0 {
		return ""
	}
	fits := func(line string) bool {
		if len(line)+len("\n") > room {
			return false
		}
		room -= len(line) + len("\n")
		return true
	}
	inner, outer := 0, len(lines) // lines[inner:outer] are cut
	innerEnd, outerEnd := len(lines), 0
	if s.missing != 0 {
		innerEnd, outerEnd = s.gap, s.gap
	}
	for taken := true; taken; {
		taken = false
		if inner < min(innerEnd, outer) && fits(lines[inner]) {
			inner++
			taken = true
		}
		if outer > max(outerEnd, inner) && fits(lines[outer-1]) {
			outer--
			taken = true
		}
	}
	return strings.Join(slices.Concat(lines[:inner], []string{s.note(outer - inner)}, lines[outer:]), "\n")
}

// note stands for cut frames and for those that are missing anyway.
func (s *stack) note(cut int) string {
	switch n := cut + s.missing; {
	case s.missing == unknown:
		return "... outermost frames not recorded ..."
	case n == 1:
		return "... 1 frame cut ..."
	default:
		return fmt.Sprintf("... %d frames cut ...", n)
	}
}

// A set of stacks keeps equal ones together, in the order in which they came.
type set struct {
	list   []*stack
	byText map[string]*stack
}

func (t *set) add(s stack) {
	var key strings.Builder
	fmt.Fprint(&key, s.missing, " ", s.gap)
	for _, f := range s.frames {
		key.WriteString("\n" + f.function + " " + f.place)
	}
	if equal := t.byText[key.String()]; equal != nil {
		equal.goroutines += s.goroutines
		return
	}
	if t.byText == nil {
		t.byText = make(map[string]*stack)
	}
	t.byText[key.String()] = &s
	t.list = append(t.list, &s)
}

// Package stacks returns the stacks of all goroutines for log lines: equal
// stacks are one group, the groups that matter come first, and no group is
// longer than a line may be. It parses the formats in which the Go runtime
// writes stacks. The caller says which functions matter.
package stacks

import (
	"cmp"
	"runtime/pprof"
	"slices"
	"strings"
)

// A Group is goroutines with equal stacks.
type Group struct {
	Goroutines int
	// Stack has a line for each frame, the innermost first: the function and
	// the base name of its file with the line number, without addresses and
	// arguments. It is valid UTF-8 and does not end in a newline.
	Stack string
}

// Groups returns the stacks of all goroutines but those that are in Groups.
//
// Those groups come first in which first is true for the function of a frame;
// next those whose outermost frames are not known, which may belong to the
// first; then all others. Among each, larger groups come first. A group is left
// out if skip is true for the function of one of its frames. A function is
// named as in runtime.Frame; nil for first or skip is true for none.
//
// A goroutine that has not run yet may have no function to show, and is left out.
//
// At most most groups are returned; more is the number of goroutines in all
// further ones. A Stack that would be longer than maxBytes is cut in the
// middle, between frames, with a note of how many frames are missing: the
// innermost show where a goroutine is stuck, the outermost what it is.
//
// Goroutines that differ only in their pprof labels are equal, and no labels
// are shown: labels often differ for each request, and can hold data that must
// not be logged.
//
// What a goroutine waits for, and for how long, is not in the profile that
// Groups reads. Only the innermost function shows it.
//
// The world is stopped only for a moment, unless a stack is deeper than the
// goroutine profile records, which is 128 frames by default. Then it is stopped
// for as long as runtime.Stack takes to write all stacks.
func Groups(first, skip func(function string) bool, most, maxBytes int) (groups []Group, more int) {
	p := profile{complete: endsInGoexit}
	_ = pprof.Lookup("goroutine").WriteTo(&p, 1) // p.Write returns no error
	p.endStack()
	return arrange(withOutermost(&p.stacks, dump), first, skip, most, maxBytes)
}

// thisFunction is in the stacks of the calling goroutine, and of any other that
// is about to write a log line of the same kind.
const thisFunction = "github.com/gracefulgo/shutdown/internal/stacks.Groups"

func arrange(stacks []*stack, first, skip func(string) bool, most, maxBytes int) (groups []Group, more int) {
	type ranked struct {
		*stack
		rank int
	}
	var list []ranked
	for _, s := range stacks {
		if s.goroutines <= 0 || s.isEmpty() || s.has(func(f string) bool { return f == thisFunction }) || s.has(skip) {
			continue
		}
		r := ranked{s, 2}
		if s.has(first) {
			r.rank = 0
		} else if s.missing == unknown {
			r.rank = 1
		}
		list = append(list, r)
	}
	slices.SortStableFunc(list, func(a, b ranked) int {
		return cmp.Or(a.rank-b.rank, cmp.Compare(b.goroutines, a.goroutines))
	})
	for i, s := range list {
		if i >= most {
			more += s.goroutines
			continue
		}
		groups = append(groups, Group{s.goroutines, s.text(maxBytes)})
	}
	return groups, more
}

// IsWork reports whether function runs in-flight work, a hook or a worker. It is a
// convention: such functions, in whatever package, are named runTracked or
// serveTracked.
func IsWork(function string) bool {
	return strings.HasSuffix(function, ".runTracked") || strings.HasSuffix(function, ".serveTracked")
}

package stacks

import (
	"bytes"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// The goroutine profile lacks the outermost frames of a deep stack, and only those
// show whether it is a hook. runtime.Stack writes the outermost 50 frames of each
// stack, but stops the world until it has written all stacks, and needs much more
// memory. So it is called only if the profile has cut off a stack.

// withOutermost returns all stacks, and adds outermost frames that the profile lacks if
// dump has them. A stack that is not in dump, such as that of a goroutine that has
// continued since, stays as it is.
func withOutermost(profile *set, dump func() []byte) []*stack {
	lacking := make(map[innermost][]*stack)
	for _, s := range profile.list {
		if in, ok := innermostOf(s); ok && s.missing == unknown {
			lacking[in] = append(lacking[in], s)
		}
	}
	if len(lacking) == 0 {
		return profile.list
	}
	var found set
	for text := range bytes.SplitSeq(dump(), []byte("\n\n")) {
		if !bytes.Contains(text, []byte(elided)) { // not deep: parsing it would take time
			continue
		}
		d := dumpedStack(string(text))
		in, _ := innermostOf(&d)
		candidates := lacking[in]
		i := slices.IndexFunc(candidates, func(s *stack) bool { return len(d.frames)+d.missing >= len(s.frames) })
		if i < 0 {
			continue
		}
		found.add(d)
		candidates[i].goroutines--
		if candidates[i].goroutines == 0 {
			lacking[in] = slices.Delete(candidates, i, i+1)
		}
	}
	return append(found.list, profile.list...)
}

// Stacks whose innermost frames are equal are taken as equal. runtime.Stack writes 50
// of them. Frames of the runtime do not count, because the two formats leave out
// different ones.
type innermost [40]frame

func innermostOf(s *stack) (in innermost, ok bool) {
	n := 0
	for _, f := range s.frames {
		if strings.HasPrefix(f.function, "runtime.") {
			continue
		}
		in[n] = f
		if n++; n == len(in) {
			return in, true
		}
	}
	return in, false // a stack that is not deep
}

// maxDump bounds the memory for the stacks of very many goroutines, which have
// at least 2 KiB of stack each. Stacks beyond it lack their outermost frames.
const maxDump = 64 << 20

func dump() []byte {
	buf := make([]byte, min(maxDump, 1<<20+runtime.NumGoroutine()<<10)) // usual stacks are shorter than 1 KiB
	n := runtime.Stack(buf, true)
	if n == len(buf) { // the last stack is cut off
		n = max(0, bytes.LastIndex(buf, []byte("\n\n")))
	}
	return buf[:n]
}

// dumpedStack parses a goroutine's part of what runtime.Stack writes:
//
//	goroutine 7 [chan receive, 2 minutes]:
//	main.wait(0xc000012345, {0x1, 0x2})
//		/src/main.go:12 +0x24
//	...72 frames elided...
//	main.work.func1()
//		/src/main.go:20 +0x19
//	created by main.work in goroutine 1
//		/src/main.go:19 +0x55
func dumpedStack(text string) (s stack) {
	s.goroutines = 1
	function := ""
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "created by ") {
			break
		}
		if place, ok := strings.CutPrefix(line, "\t"); ok {
			if function != "" {
				place, _, _ = strings.Cut(place, " +0x")
				s.frames = append(s.frames, newFrame(function, place))
			}
			function = ""
			continue
		}
		if number, ok := strings.CutSuffix(line, elided); ok {
			if n, err := strconv.Atoi(strings.TrimPrefix(number, "...")); err == nil && n > 0 {
				s.missing, s.gap = n, len(s.frames)
			}
			continue
		}
		if i := strings.LastIndexByte(line, '('); i > 0 {
			function = line[:i]
			if function == "panic" {
				function = "runtime.gopanic"
			}
		}
	}
	return s
}

const elided = " frames elided..."

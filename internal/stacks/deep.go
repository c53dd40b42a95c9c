package stacks

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// The goroutine profile lacks the outermost frames of a deep stack, which are
// those that say whether it is a hook. runtime.Stack writes the outermost 50 of
// any stack, but stops the world until it has written all of them, and needs
// much more memory: it is for stacks that the profile cuts off, and only then.

// Of the innermost frames so many must be equal for stacks to be taken as
// equal. runtime.Stack writes 50.
const enoughFrames = 40

// withOutermost returns all stacks, with the outermost frames of those where
// the profile lacks them as far as dump has them. A goroutine that runs may be
// elsewhere by then: it stays as it is.
func withOutermost(profile *set, dump func() string) []*stack {
	type cutOff struct {
		*stack
		own []frame
	}
	lacking := make(map[frame][]cutOff) // by the innermost frame
	for _, s := range profile.list {
		if s.missing != unknown {
			continue
		}
		if own := ownFrames(s.frames); len(own) > 0 {
			lacking[own[0]] = append(lacking[own[0]], cutOff{s, own})
		}
	}
	if len(lacking) == 0 {
		return profile.list
	}
	var found set
	for text := range strings.SplitSeq(dump(), "\n\n") {
		d, ok := dumpedStack(text)
		if !ok {
			continue
		}
		own := ownFrames(d.frames)
		if len(own) == 0 {
			continue
		}
		for _, s := range lacking[own[0]] {
			if s.goroutines > 0 && len(d.frames)+d.missing >= len(s.frames) && startsWith(own, s.own) {
				s.goroutines--
				found.add(d)
				break
			}
		}
	}
	return append(found.list, profile.list...)
}

func startsWith(frames, prefix []frame) bool {
	return len(frames) >= len(prefix) && slices.Equal(frames[:len(prefix)], prefix)
}

// ownFrames returns enough of those frames that are not the runtime's, of which
// the two formats leave out different ones.
func ownFrames(frames []frame) []frame {
	own := make([]frame, 0, enoughFrames)
	for _, f := range frames {
		if len(own) == enoughFrames {
			break
		}
		if !strings.HasPrefix(f.function, "runtime.") {
			own = append(own, f)
		}
	}
	return own
}

// maxDump bounds the memory for the stacks of very many goroutines, which have
// at least 2 KiB of stack each. What has no room lacks its outermost frames.
const maxDump = 64 << 20

func dump() string {
	buf := make([]byte, min(maxDump, 1<<20+runtime.NumGoroutine()<<10)) // usual stacks are shorter than 1 KiB
	n := runtime.Stack(buf, true)
	text := string(buf[:n])
	if n == len(buf) { // the last one is cut off
		text = text[:max(0, strings.LastIndex(text, "\n\n"))]
	}
	return text
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
func dumpedStack(text string) (s stack, ok bool) {
	header, rest, _ := strings.Cut(text, "\n")
	if !strings.HasPrefix(header, "goroutine ") {
		return stack{}, false
	}
	s.goroutines = 1
	function := ""
	for line := range strings.SplitSeq(rest, "\n") {
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
		if number, ok := strings.CutSuffix(line, " frames elided..."); ok {
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
	return s, len(s.frames) > 0
}

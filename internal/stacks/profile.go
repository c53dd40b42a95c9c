package stacks

import (
	"bytes"
	"runtime"
	"strconv"
	"strings"
)

// A profile parses, as an io.Writer, the text of the goroutine profile of
// runtime/pprof with debug=1. It does not keep the text, which is long if each
// goroutine has labels of its own:
//
//	goroutine profile: total 3
//	2 @ 0x47c2ee 0x40a1d4 0x40a1ad 0x4d5b25 0x483d61
//	# labels: {"key":"value"}
//	#	0x4d5b24	main.wait+0x24		/src/main.go:12
//	#	0x4d5b99	main.work.func1+0x19	/src/main.go:20
//
//	1 @ ...
//
// Keys and values of labels are quoted, so that none can begin a line. A form
// feed in the file name of a //line directive can, but that is the program's own
// code and not input. Lines of an unknown form are ignored.
type profile struct {
	complete func(pc uintptr) bool // reports whether a stack that ends in pc is complete
	stacks   set

	line []byte // the beginning of a line, of which the end is not written yet
	next stack
}

// maxLine is far more than the addresses of the deepest recorded stack need.
// The rest of a longer line is dropped; lines of labels can be longer.
const maxLine = 64 << 10

func (p *profile) Write(text []byte) (n int, err error) {
	n = len(text)
	for {
		part, rest, found := bytes.Cut(text, []byte("\n"))
		p.line = append(p.line, part[:min(len(part), maxLine-len(p.line))]...)
		if !found {
			return n, nil
		}
		p.take(string(p.line))
		p.line = p.line[:0]
		text = rest
	}
}

func (p *profile) take(line string) {
	if line == "" {
		p.endStack()
		return
	}
	if strings.HasPrefix(line, "#") {
		if f, ok := profileFrame(line); ok {
			p.next.frames = append(p.next.frames, f)
		}
		return
	}
	count, addresses, ok := strings.Cut(line, " @")
	if !ok {
		return
	}
	goroutines, err := strconv.Atoi(count)
	if err != nil || goroutines <= 0 {
		return
	}
	p.endStack()
	p.next.goroutines = goroutines
	pc, err := strconv.ParseUint(addresses[strings.LastIndex(addresses, " ")+1:], 0, 64)
	if err != nil || !p.complete(uintptr(pc)) {
		p.next.missing = unknown
	}
}

// endStack is called at the end of the text as well.
func (p *profile) endStack() {
	if p.next.goroutines > 0 {
		if p.next.missing == unknown {
			p.next.gap = len(p.next.frames)
		}
		p.stacks.add(p.next)
	}
	p.next = stack{}
}

// profileFrame parses "#", an address, a function with an offset, and a place,
// between which are one or more tabs.
func profileFrame(line string) (f frame, ok bool) {
	rest, ok := strings.CutPrefix(line, "#\t")
	if !ok {
		return frame{}, false
	}
	address, rest, _ := strings.Cut(strings.TrimLeft(rest, "\t"), "\t")
	if !strings.HasPrefix(address, "0x") {
		return frame{}, false
	}
	function, place, _ := strings.Cut(strings.TrimLeft(rest, "\t"), "\t")
	if i := strings.LastIndex(function, "+0x"); i >= 0 {
		function = function[:i]
	}
	if function == "" { // as for code that is not Go
		function = "unknown function"
	}
	return newFrame(function, strings.TrimLeft(place, "\t")), true
}

// endsInGoexit reports whether pc is where the first function of a goroutine returns
// to. A stack in the profile that ends elsewhere is deeper than the profile records.
func endsInGoexit(pc uintptr) bool {
	f := runtime.FuncForPC(pc)
	return f != nil && f.Name() == "runtime.goexit"
}

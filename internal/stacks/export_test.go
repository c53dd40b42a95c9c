package stacks

// CompleteEnd is the address that ends a complete stack for Parse.
const CompleteEnd = "0xe0"

// Parse is Groups for the given profile and dump. The profile is written in pieces of
// the given size.
func Parse(profileText, dumpText string, piece int, first, skip func(string) bool, most, maxBytes int) ([]Group, int) {
	p := profile{complete: func(pc uintptr) bool { return pc == 0xe0 }}
	for rest := profileText; rest != ""; {
		n := min(piece, len(rest))
		_, _ = p.Write([]byte(rest[:n]))
		rest = rest[n:]
	}
	p.endStack()
	return arrange(withOutermost(&p.stacks, func() []byte { return []byte(dumpText) }), first, skip, most, maxBytes)
}

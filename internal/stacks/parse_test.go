package stacks_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/stacks"
)

func TestAProfileIsParsed(t *testing.T) {
	for name, test := range map[string]struct {
		profile string
		want    []stacks.Group
	}{
		"nothing":             {"", nil},
		"the first line only": {"goroutine profile: total 3\n", nil},
		"two stacks": {
			"goroutine profile: total 3\n1 @ 0x1 0xe0\n#\t0x1\tmain.a+0x1\t\t/src/a.go:1\n#\t0x2\tmain.(*T).b[...].func1+0x22\t/src/b.go:2\n\n" +
				"2 @ 0x2 0xe0\n#\t0x1\tmain.c+0x1\tc.go:3\n\n",
			[]stacks.Group{{2, "main.c c.go:3"}, {1, "main.a a.go:1\nmain.(*T).b[...].func1 b.go:2"}},
		},
		"other addresses, other labels, the same stack": {
			"1 @ 0x1 0xe0\n# labels: {\"k\":\"1\"}\n#\t0x1\tmain.a+0x1\ta.go:1\n\n1 @ 0x9 0xe0\n# labels: {\"k\":\"2\"}\n#\t0x9\tmain.a+0x9\ta.go:1\n\n",
			[]stacks.Group{{2, "main.a a.go:1"}},
		},
		"the last blank line is lacking": {"1 @ 0xe0\n#\t0x1\tmain.a+0x1\ta.go:1\n", []stacks.Group{{1, "main.a a.go:1"}}},
		"a blank line is lacking": {
			"1 @ 0xe0\n#\t0x1\tmain.a+0x1\ta.go:1\n2 @ 0xe0\n#\t0x1\tmain.b+0x1\tb.go:1\n",
			[]stacks.Group{{2, "main.b b.go:1"}, {1, "main.a a.go:1"}},
		},
		"no function":                 {"1 @ 0xe0\n#\t0x1\n\n", []stacks.Group{{1, "unknown function"}}},
		"no place":                    {"1 @ 0xe0\n#\t0x1\tmain.a+0x1\n\n", []stacks.Group{{1, "main.a"}}},
		"no offset":                   {"1 @ 0xe0\n#\t0x1\tmain.a\ta.go:1\n\n", []stacks.Group{{1, "main.a a.go:1"}}},
		"no frames":                   {"1 @ 0xe0\n\n", nil},
		"a Windows path":              {"1 @ 0xe0\n#\t0x1\tmain.a+0x1\tC:\\src\\a.go:1\n\n", []stacks.Group{{1, "main.a a.go:1"}}},
		"a path with spaces and tabs": {"1 @ 0xe0\n#\t0x1\tmain.a+0x1\t/my\tsrc/an a.go:1\n\n", []stacks.Group{{1, "main.a an a.go:1"}}},
		"unknown lines": {
			"# header\n1 @ 0xe0\n# new: thing\nnew thing\n#\tno address\n#\t0x1\tmain.a+0x1\ta.go:1\n#\n\nend\n",
			[]stacks.Group{{1, "main.a a.go:1"}},
		},
		"no count":           {"x @ 0xe0\n#\t0x1\tmain.a+0x1\ta.go:1\n\n", nil},
		"a count of 0":       {"0 @ 0xe0\n#\t0x1\tmain.a+0x1\ta.go:1\n\n", nil},
		"a negative count":   {"-1 @ 0xe0\n#\t0x1\tmain.a+0x1\ta.go:1\n\n", nil},
		"a huge count":       {"99999999999999999999 @ 0xe0\n#\t0x1\tmain.a+0x1\ta.go:1\n\n", nil},
		"only a frame":       {"#\t0x1\tmain.a+0x1\ta.go:1\n\n", nil},
		"garbage":            {"\x00\xff@ @\n @\n\n\n#\n#\t\n\t\n1 @\xff", nil},
		"control characters": {"1 @ 0xe0\n#\t0x1\tmain.\x1b[1m\xffa\u2028+0x1\ta\r.go:1\n\n", []stacks.Group{{1, "main.\ufffd[1m\ufffda\ufffd a\ufffd.go:1"}}},
		"not complete":       {"1 @ 0x1\n#\t0x1\tmain.a+0x1\ta.go:1\n\n", []stacks.Group{{1, "main.a a.go:1\n... outermost frames not recorded ..."}}},
		"no addresses":       {"1 @\n\n", []stacks.Group{{1, "... outermost frames not recorded ..."}}},
		"a very long line": {
			"1 @ 0xe0\n# labels: {" + strings.Repeat("x", 1<<20) + "\n#\t0x1\tmain.a+0x1\ta.go:1\n\n",
			[]stacks.Group{{1, "main.a a.go:1"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{1, 7, 1 << 21} {
				groups, more := stacks.Parse(test.profile, "", piece, nil, nil, all, maxBytes)
				require.Equal(t, test.want, groups, "in pieces of %d", piece)
				require.Zero(t, more)
			}
		})
	}
}

// entry returns the entry in a profile for goroutines with the given functions, innermost first.
func entry(goroutines int, end string, functions ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d @ 0x1 %s\n", goroutines, end)
	for _, f := range functions {
		fmt.Fprintf(&b, "#\t0x1\t%s+0x1\t/src/x.go:1\n", f)
	}
	return b.String() + "\n"
}

func is(name string) func(string) bool { return func(f string) bool { return f == name } }

func TestGroupsAreInOrder(t *testing.T) {
	const cutOff = "0x1"
	profile := entry(50, stacks.CompleteEnd, "idle") + entry(9, cutOff, "deep") + entry(60, stacks.CompleteEnd, "skipped", "hook") +
		entry(1, stacks.CompleteEnd, "a", "hook", "b") + entry(2, stacks.CompleteEnd, "c", "hook") + entry(70, stacks.CompleteEnd, "busy")
	groups, more := stacks.Parse(profile, "", all, is("hook"), is("skipped"), 4, maxBytes)
	require.Equal(t, []stacks.Group{
		{2, "c x.go:1\nhook x.go:1"},
		{1, "a x.go:1\nhook x.go:1\nb x.go:1"},
		{9, "deep x.go:1\n... outermost frames not recorded ..."},
		{70, "busy x.go:1"},
	}, groups)
	require.Equal(t, 50, more)

	groups, more = stacks.Parse(profile, "", all, nil, is("skipped"), 0, maxBytes)
	require.Empty(t, groups)
	require.Equal(t, 50+9+1+2+70, more)
}

// dumped returns the entry in a dump for a goroutine of which the 50 innermost frames are in
// function.
func dumped(function string, elided int, rest string) string {
	inner := strings.Repeat(function+"(0x1, {0x2?, 0x3})\n\t/src/x.go:1 +0x1\n", 50)
	return "goroutine 2 [chan receive, 9 minutes]:\n" + inner + fmt.Sprintf("...%d frames elided...\n", elided) + rest + "\n"
}

func TestTheDumpAddsTheFramesThatTheProfileLacks(t *testing.T) {
	const cutOff = "0x1"
	deep := strings.Split(strings.Repeat("deep ", 60), " ")[:60]
	profile := entry(4, cutOff, append([]string{"runtime.x"}, deep...)...) +
		entry(5, stacks.CompleteEnd, append(deep, "complete")...) +
		entry(4, stacks.CompleteEnd, "idle")
	hook := "hook()\n\t/src/x.go:1 +0x1 fp=0x1\ncreated by main.main in goroutine 1\n\t/src/x.go:1 +0x1\n"
	dump := "goroutine 1 [running]:\nmain.main()\n\t/src/x.go:1 +0x1\n\n" +
		dumped("deep", 10, "panic({0x1?, 0x2?})\n\t/src/x.go:1 +0x1\n"+hook) +
		dumped("deep", 10, "hook(...)\n\t/src/x.go:1\n") +
		dumped("deep", 10, "hook(...)\n\t/src/x.go:1\n") +
		dumped("deep", 9, hook) + // fewer frames than the profile has
		dumped("other", 1000, hook) + // not in the profile
		"garbage\n(\n\t\n...x frames elided...\n()\n\n... frames elided..."
	groups, more := stacks.Parse(profile, dump, all, is("hook"), nil, all, 80)
	start := strings.Repeat("deep x.go:1\n", 2)
	require.Equal(t, []stacks.Group{
		{2, start + "deep x.go:1\n... 57 frames cut ...\nhook x.go:1"},
		{1, start + "... 58 frames cut ...\nruntime.gopanic x.go:1\nhook x.go:1"},
		{1, "runtime.x x.go:1\n" + start + "... outermost frames not recorded ..."},
		{5, start + "... 57 frames cut ...\ndeep x.go:1\ncomplete x.go:1"},
		{4, "idle x.go:1"},
	}, groups)
	require.Zero(t, more)
}

// The dump has more of these stacks than the profile has goroutines.
func TestTheDumpAddsNoGoroutines(t *testing.T) {
	deep := strings.Split(strings.Repeat("deep ", 60), " ")[:60]
	dump := strings.Repeat(dumped("deep", 10, "hook()\n\t/src/x.go:1 +0x1\n"), 9)
	groups, _ := stacks.Parse(entry(4, "0x1", deep...), dump, all, is("hook"), nil, all, maxBytes)
	require.Len(t, groups, 1)
	require.Equal(t, 4, groups[0].Goroutines)
}

func TestAStackIsNeverLongerThanTheLimit(t *testing.T) {
	for frames := range 12 {
		var functions []string
		for i := range frames {
			functions = append(functions, strings.Repeat("ü", i)+"f")
		}
		for _, end := range []string{stacks.CompleteEnd, "0x1"} {
			profile := entry(1, end, functions...)
			for most := range 300 {
				groups, _ := stacks.Parse(profile, "", all, nil, nil, all, most)
				if frames == 0 && end == stacks.CompleteEnd {
					require.Empty(t, groups)
					continue
				}
				require.Len(t, groups, 1)
				text := groups[0].Stack
				require.LessOrEqual(t, len(text), most)
				require.True(t, utf8.ValidString(text))
				kept := strings.Count(text, " x.go:1")
				switch {
				case end == stacks.CompleteEnd && strings.Contains(text, " cut"):
					var cut int
					_, err := fmt.Sscanf(text[strings.Index(text, "... "):], "... %d frame", &cut)
					require.NoError(t, err)
					require.Equal(t, frames, kept+cut)
					require.Positive(t, cut)
				case end == stacks.CompleteEnd && text != "":
					require.Equal(t, frames, kept)
				}
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(entry(2, stacks.CompleteEnd, "a", "b")+entry(1, "0x1", "deep"), "goroutine 1 [x]:\ndeep()\n\t/x.go:1 +0x1\n", 100)
	f.Fuzz(func(t *testing.T, profile, dump string, most int) {
		groups, more := stacks.Parse(profile, dump, 1000, is("a"), is("b"), 5, most)
		require.LessOrEqual(t, len(groups), 5)
		if len(groups) < 5 {
			require.Zero(t, more)
		}
		for _, g := range groups {
			require.Positive(t, g.Goroutines)
			require.LessOrEqual(t, len(g.Stack), max(0, most))
			require.True(t, utf8.ValidString(g.Stack))
		}
	})
}

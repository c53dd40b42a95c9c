package recipetest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireDocumented checks that log has the lines which docs/recipes.md shows for the package
// under test, in this order. "…" in the documentation stands for anything, and each number
// for any number.
func requireDocumented(t testing.TB, log string) {
	t.Helper()
	dir, err := os.Getwd() // that of the package
	require.NoError(t, err)
	text, err := os.ReadFile("../../../docs/recipes.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "](../examples/recipes/"+filepath.Base(dir)+"/")
	require.True(t, ok, "docs/recipes.md has no link to this recipe")
	section, _, _ = strings.Cut(section, "\n## ")
	_, lines, ok := strings.Cut(section, "\n\n```\n")
	require.True(t, ok, "the recipe has no log lines")
	lines, _, _ = strings.Cut(lines, "\n```")
	for line := range strings.SplitSeq(lines, "\n") {
		found := pattern(line).FindStringIndex(log)
		require.NotNil(t, found, "not logged, or not in this order: %s\nleft of the log:\n%s", line, log)
		log = log[found[1]:]
	}
}

var anything = regexp.MustCompile(`…|\d[\d.]*(µs|ms|s)?`)

// pattern matches a line that differs from this one in numbers, and where this one has "…".
func pattern(line string) *regexp.Regexp {
	var pattern strings.Builder
	end := 0
	for _, found := range anything.FindAllStringIndex(line, -1) {
		pattern.WriteString(regexp.QuoteMeta(line[end:found[0]]))
		if line[found[0]:found[1]] == "…" {
			pattern.WriteString(".*")
		} else {
			pattern.WriteString(`[\d.]+(µs|ms|s)?`)
		}
		end = found[1]
	}
	pattern.WriteString(regexp.QuoteMeta(line[end:]))
	return regexp.MustCompile(pattern.String())
}

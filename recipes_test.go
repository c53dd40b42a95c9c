package shutdown_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// examples/recipes is a module of its own, whose tests run the recipes.
func TestTheCodeInTheRecipesIsTheCodeOfTheExamples(t *testing.T) {
	page, err := os.ReadFile("docs/recipes.md")
	require.NoError(t, err)
	link := regexp.MustCompile(`\]\(\.\./(examples/recipes/[^)]+\.go)\)`)
	documented := make(map[string]bool)
	parts := strings.Split(string(page), "```go\n")
	for i, part := range parts[1:] {
		links := link.FindAllStringSubmatch(parts[i], -1)
		require.NotEmpty(t, links, "a link to the file comes before its code")
		file := links[len(links)-1][1]
		code, _, _ := strings.Cut(part, "```\n")
		require.Equal(t, recipe(t, file), code, file)
		lines := strings.Count(code, "\n")
		require.LessOrEqual(t, lines, 40, "%s: a recipe is short", file)
		documented[file] = true
	}
	require.NoError(t, filepath.WalkDir("examples/recipes", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") && recipe(t, path) != "" {
			require.True(t, documented[filepath.ToSlash(path)], "%s is not in docs/recipes.md", path)
		}
		return err
	}))
}

// recipe returns the lines of a file between "// recipe" and "// end", without the indentation
// of these marks and without the empty lines around them. It returns "" if there are no marks.
func recipe(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	marks := regexp.MustCompile(`(?s)\n(\t*)// recipe\n+(.*?)\n+\t*// end\n`).FindAllStringSubmatch(string(text), -1)
	if len(marks) == 0 {
		return ""
	}
	require.Len(t, marks, 1, "%s: recipes", file)
	var code strings.Builder
	for line := range strings.Lines(marks[0][2] + "\n") {
		code.WriteString(strings.TrimPrefix(line, marks[0][1]))
	}
	return code.String()
}

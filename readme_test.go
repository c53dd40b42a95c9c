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

// The program in the README is one that compiles, and runs.
func TestTheProgramInTheReadmeIsTheMinimalExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(readme), "```go\n")
	require.True(t, ok)
	program, _, ok := strings.Cut(rest, "```\n")
	require.True(t, ok)
	example, err := os.ReadFile("examples/minimal/main.go")
	require.NoError(t, err)
	require.Contains(t, string(example), program)
}

// The documentation says how each figure can be repeated.
func TestTheTestsAndBenchmarksThatTheDocumentationNamesExist(t *testing.T) {
	var code strings.Builder
	require.NoError(t, filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			text, err := os.ReadFile(path)
			code.Write(text)
			return err
		}
		return err
	}))
	command := regexp.MustCompile(`-(run|bench) '?([A-Za-z|]+)`)
	for _, page := range []string{"README.md", "docs/design.md", "docs/measurements.md", "CONTRIBUTING.md"} {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range command.FindAllStringSubmatch(string(text), -1) {
			kind := map[string]string{"run": "Test", "bench": "Benchmark"}[m[1]]
			for name := range strings.SplitSeq(m[2], "|") {
				require.Regexp(t, "func "+kind+"[A-Za-z]*"+strings.TrimPrefix(name, kind), code.String(), "%s: %s", page, m[0])
			}
		}
	}
}

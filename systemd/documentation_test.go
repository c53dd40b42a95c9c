package systemd_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// documentation is doc.go without its comment signs.
func documentation(t *testing.T) string {
	t.Helper()
	file, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	var text strings.Builder
	for line := range strings.Lines(string(file)) {
		line, _ = strings.CutPrefix(strings.TrimPrefix(line, "//"), "\t")
		text.WriteString(line)
	}
	return text.String()
}

// documented returns a unit file of the documentation.
func documented(t *testing.T, unit string) string {
	t.Helper()
	_, rest, ok := strings.Cut(documentation(t), "# /etc/systemd/system/"+unit+"\n")
	require.True(t, ok)
	end := strings.Index(rest, ".target\n")
	require.Positive(t, end)
	return rest[:end] + ".target\n"
}

func TestTheProgramInTheDocumentationIsTheExample(t *testing.T) {
	example, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(example), "\nfunc start(")
	require.True(t, ok)
	body, _, ok := strings.Cut(rest, "\n}\n")
	require.True(t, ok)
	require.Contains(t, documentation(t), "func start("+body+"\n}\n")
}

package report

import (
	"fmt"
	"os"
	"strings"
)

const end = "<!-- end -->"

func begin(name string) string { return "<!-- " + name + " -->\n" }

// Write replaces the text between the comments with this name and the next end in a file.
func Write(path, name, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begun := strings.Cut(string(old), begin(name))
	_, after, ended := strings.Cut(rest, end)
	if !begun || !ended {
		return fmt.Errorf("%s has no %q that is followed by %q", path, strings.TrimSpace(begin(name)), end)
	}
	return os.WriteFile(path, []byte(before+begin(name)+"\n"+text+end+after), 0o644)
}

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func printTables(w io.Writer, t tables) {
	fmt.Fprintf(w, "%s\n\n", t.about)
	for i := range t.all {
		t.all[i].print(w)
	}
}

// The tables are between these lines of a file.
const (
	tablesBegin = "<!-- tables: begin -->\n"
	tablesEnd   = "<!-- tables: end -->"
)

// writeTables writes the tables into docs/peers.md, and the head into README.md.
func writeTables(root string, t tables) error {
	var all, head strings.Builder
	printTables(&all, t)
	t.head.print(&head)
	if err := replace(filepath.Join(root, "docs", "peers.md"), all.String()); err != nil {
		return err
	}
	return replace(filepath.Join(root, "README.md"), head.String())
}

func replace(path, with string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begun := strings.Cut(string(text), tablesBegin)
	_, after, ended := strings.Cut(rest, tablesEnd)
	if !begun || !ended {
		return fmt.Errorf("%s has no lines %q and %q", path, strings.TrimSpace(tablesBegin), tablesEnd)
	}
	return os.WriteFile(path, []byte(before+tablesBegin+"\n"+with+tablesEnd+after), 0o644)
}

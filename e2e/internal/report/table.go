package report

import (
	"fmt"
	"io"
	"strings"
)

// A Table has the rows of a part.
type Table struct {
	Part     string
	Title    string
	Versions string // of what it runs on
	Rows     []Row
}

// Problems returns the problems of all rows, each with its scenario.
func (t *Table) Problems() (problems []string) {
	for _, r := range t.Rows {
		for _, p := range r.Problems {
			problems = append(problems, fmt.Sprintf("%s, %s, %s: %s", t.Part, r.Scenario, r.Service, p))
		}
	}
	return problems
}

// Print writes the table in Markdown.
func (t *Table) Print(w io.Writer) {
	fmt.Fprintln(w, "| scenario | service | stops | requests | unanswered | refused | over 0.5 s | exit code | gone after | what is said | |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range t.Rows {
		t.print(w, r)
	}
	fmt.Fprintln(w)
}

func (t *Table) print(w io.Writer, r Row) {
	requests, lost, refused, late := r.load()
	fmt.Fprintf(w, "| %s |\n", strings.Join([]string{
		r.Scenario, r.Service, fmt.Sprint(r.Rounds), requests, lost, refused, late, r.exits(), r.gone(), cell(r.Says),
		strings.Join(r.Requirements, " "),
	}, " | "))
}

// PrintHead writes the rows for the README, with the columns that fit there. Without such
// rows it writes nothing.
func (t *Table) PrintHead(w io.Writer) {
	title := fmt.Sprintf("| %s | service | stops | requests | unanswered | refused | exit code | gone after |\n|---|---|---|---|---|---|---|---|\n", t.Title)
	for _, r := range t.Rows {
		if !r.Head {
			continue
		}
		requests, lost, refused, _ := r.load()
		fmt.Fprintf(w, "%s| %s |\n", title, strings.Join([]string{
			r.Scenario, r.Service, fmt.Sprint(r.Rounds), requests, lost, refused, r.exits(), r.gone(),
		}, " | "))
		title = ""
	}
	if title == "" {
		fmt.Fprintln(w)
	}
}

// load returns the cells of the load, empty if there was none.
func (r *Row) load() (requests, lost, refused, late string) {
	if r.Load.Requests == 0 {
		return "", "", "", ""
	}
	lost = fmt.Sprint(r.Load.Losses())
	if kinds := r.Load.Kinds(); kinds != "" {
		lost += ": " + kinds
	}
	if n := r.idle(); n > 0 {
		lost += fmt.Sprintf(" (%d idle)", n)
	}
	return fmt.Sprint(r.Load.Requests), lost, fmt.Sprint(r.Load.Refused), fmt.Sprint(r.Load.Delayed)
}

// cell is the text in one line, as code.
func cell(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		return ""
	}
	return "`" + strings.NewReplacer("|", "\\|", "`", "'").Replace(text) + "`"
}

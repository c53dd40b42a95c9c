package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// A table has a row for each peer.
type table struct {
	title   string // "" for the one of the README
	text    string // what the cells mean
	columns []string
	rows    []row
}

type row struct {
	peer     string
	compared string // the library's row for the same protocol
	cells    []cell
}

// A cell may be compared: of two cells with scores, the one whose score is less by more
// than the margin is better.
type cell struct {
	text   string
	score  float64
	margin float64 // negative: not compared
}

func plain(text string) cell { return cell{text: text, margin: -1} }

// none is the cell of what a peer does not have.
var none = plain("—")

// count is better if it is less.
func count(n int, text string) cell { return cell{text: text, score: float64(n)} }

// good is better if it is true.
func good(is bool, text string) cell {
	c := cell{text: text, score: 1}
	if is {
		c.score = 0
	}
	return c
}

// sooner is better if it is less by more than a margin, which is how exact the measurement
// is.
func sooner(d, margin time.Duration, text string) cell {
	return cell{text: text, score: d.Seconds(), margin: margin.Seconds()}
}

// better returns the columns in which the row is better than the library's row.
func (t *table) better(r row) string {
	n := slices.IndexFunc(t.rows, func(other row) bool { return other.peer == r.compared })
	if n < 0 || r.peer == r.compared {
		return ""
	}
	var names []string
	for i, theirs := range r.cells {
		ours := t.rows[n].cells[i]
		if theirs.margin >= 0 && ours.margin >= 0 && theirs.score < ours.score-theirs.margin {
			names = append(names, t.columns[i])
		}
	}
	return strings.Join(names, ", ")
}

func (t *table) print(w io.Writer) {
	if t.title != "" {
		fmt.Fprintf(w, "## %s\n\n", t.title)
	}
	if t.text != "" {
		fmt.Fprintf(w, "%s\n\n", t.text)
	}
	fmt.Fprintf(w, "| | %s | better than the library in |\n|---%s|---|\n", strings.Join(t.columns, " | "), strings.Repeat("|---", len(t.columns)))
	for _, r := range t.rows {
		fmt.Fprintf(w, "| %s", r.peer)
		for _, c := range r.cells {
			fmt.Fprintf(w, " | %s", c.text)
		}
		fmt.Fprintf(w, " | %s |\n", t.better(r))
	}
	fmt.Fprintln(w)
}

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
)

// A row sums up the rounds of one service in one mode.
type row struct {
	service string
	mode    load.Mode
	rounds  int
	failed  int // rounds in which the service did not exit with status 0
	exits   []time.Duration
	load.Result
}

func (r *row) add(one round) {
	r.rounds++
	r.exits = append(r.exits, one.exit)
	r.Add(one.Result)
	if one.failed != nil {
		r.failed++
	}
}

func printTable(w io.Writer, rows []*row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVER\tMODE\tROUNDS\tREQUESTS\tLOST\tBY KIND\tLAST REPLY TO EXIT")
	for _, r := range rows {
		slices.Sort(r.exits)
		fmt.Fprintf(t, "%s\t%v\t%d\t%d\t%d\t%s\tmedian %v, max %v\n", r.service, r.mode, r.rounds, r.Requests, r.Losses(), r.Kinds(),
			milliseconds(r.exits[len(r.exits)/2]), milliseconds(r.exits[len(r.exits)-1]))
	}
	t.Flush()
}

func milliseconds(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// verdict returns a summary of the table and whether the library passes.
func verdict(rows []*row) (text string, ok bool) {
	var plain, library row
	for _, r := range rows {
		sum := &plain
		if r.service == "shutdown" {
			sum = &library
		}
		sum.rounds += r.rounds
		sum.failed += r.failed
		sum.Add(r.Result)
	}
	ok = true
	var said []string
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	if lost := plain.Losses(); plain.rounds > 0 {
		say("http.Server.Shutdown alone lost %d of %d requests, %.1f a shutdown.", lost, plain.Requests, float64(lost)/float64(plain.rounds))
		if lost == 0 {
			say("So the load was too light to prove anything.")
			ok = false
		}
	}
	if lost := library.Losses(); library.rounds > 0 {
		say("With the library %d of %d were lost in %d shutdowns.", lost, library.Requests, library.rounds)
		if lost > 0 {
			ok = false
		}
		if library.failed > 0 {
			say("%d of them did not exit with status 0.", library.failed)
			ok = false
		}
	}
	return strings.Join(said, " "), ok
}

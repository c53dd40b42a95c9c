//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// A row sums up the rounds of one server.
type row struct {
	server string
	plan   plan
	rounds []round
}

func printTable(w io.Writer, rows []*row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVER\tANSWERED\tRESET\tLAST REPLY TO EXIT\tSIGTERM TO EXIT\tRSS BEFORE\tPEAK")
	for _, r := range rows {
		answered, reset := 0, 0
		for _, one := range r.rounds {
			answered += one.answered
			reset += one.reset
		}
		fmt.Fprintf(t, "%s\t%d of %d\t%d\t%s\t%s\t%s\t%s\n", r.server, answered, len(r.rounds)*r.plan.inFlight, reset,
			spread(r.rounds, func(r round) time.Duration { return r.afterLast }, milliseconds),
			spread(r.rounds, func(r round) time.Duration { return r.exit }, milliseconds),
			spread(r.rounds, func(r round) int64 { return r.rss }, megabytes),
			spread(r.rounds, func(r round) int64 { return r.peak }, megabytes))
	}
	t.Flush()
}

// spread returns the median and the maximum.
func spread[T cmp.Ordered, S any](rounds []round, of func(round) T, show func(T) S) string {
	var all []T
	for _, r := range rounds {
		all = append(all, of(r))
	}
	slices.Sort(all)
	return fmt.Sprintf("%v, max %v", show(all[len(all)/2]), show(all[len(all)-1]))
}

func milliseconds(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

func megabytes(n int64) string { return fmt.Sprintf("%d MB", n>>20) }

// ok reports whether the library lost no request and exited with status 0.
func ok(rows []*row) bool {
	for _, r := range rows {
		for _, one := range r.rounds {
			if r.server == "library" && (one.answered != r.plan.inFlight || one.reset > 0 || len(one.otherEnds) > 0 || one.failed != nil) {
				return false
			}
		}
	}
	return true
}

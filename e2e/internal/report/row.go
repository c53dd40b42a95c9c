// Package report has the rows that the parts of the end-to-end test measure, and writes
// them as tables.
package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
)

// A Row is a scenario with one service.
type Row struct {
	Scenario     string
	Service      string   // what is stopped
	Requirements []string // of the project that it shows, such as R10
	Rounds       int      // how often it was stopped
	Load         load.Result
	Exits        map[string]int  // rounds, or containers, by exit code
	Gone         []time.Duration // from the stop until it was gone
	Says         string          // what the platform or the log says about it
	Head         bool            // it is also in the README
	Problems     []string        // what is not as it must be; each is a sentence
}

// Exit counts an exit.
func (r *Row) Exit(code string) {
	if r.Exits == nil {
		r.Exits = make(map[string]int)
	}
	r.Exits[code]++
}

// Problem adds a problem.
func (r *Row) Problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// linger is how long package httpserver waits for a request on an idle connection. With
// any server a client that waits longer may send one while the connection is closed.
const linger = 50 * time.Millisecond

// NothingLost makes lost requests a problem, except those on a connection that had been
// idle for longer than the server lingers, and those of which nothing was sent: a client of
// gRPC sends them on another connection.
func (r *Row) NothingLost() {
	// A request that was not sent may also count as idle.
	if r.Load.Losses() > max(r.idle(), r.Load.Lost[load.Unsent]) {
		r.Problem("%d of %d requests were lost: %s; their connections had been idle for %v", r.Load.Losses(), r.Load.Requests, r.Load.Kinds(), r.Load.IdleBefore)
	}
	if r.Load.Requests == 0 {
		r.Problem("there were no requests")
	}
}

// idle returns how many requests were lost on a connection that had been idle for longer
// than the server lingers.
func (r *Row) idle() (n int) {
	for _, idle := range r.Load.IdleBefore {
		if idle > linger {
			n++
		}
	}
	return n
}

// ExitsOnly makes every other exit code a problem.
func (r *Row) ExitsOnly(code string) {
	if len(r.Exits) != 1 || r.Exits[code] == 0 {
		r.Problem("the exit codes are %s and not %s", r.exits(), code)
	}
}

func (r *Row) exits() string {
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(r.Exits)) {
		if len(r.Exits) == 1 {
			return code
		}
		parts = append(parts, fmt.Sprintf("%s (%d)", code, r.Exits[code]))
	}
	return strings.Join(parts, ", ")
}

// gone is the median and the longest.
func (r *Row) gone() string {
	if len(r.Gone) == 0 {
		return ""
	}
	all := slices.Sorted(slices.Values(r.Gone))
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }
	median, most := seconds(all[len(all)/2]), seconds(all[len(all)-1])
	if median == most {
		return median + " s"
	}
	return median + " to " + most + " s"
}

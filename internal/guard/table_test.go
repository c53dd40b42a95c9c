package guard

import (
	"fmt"
	"io"
	"os"

	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
)

// A row sums up the rounds of one cell, with the library or without.
type row struct {
	cell    cell
	library bool

	mu      sync.Mutex // protects what follows
	rounds  int
	sum     load.Result
	exits   map[int]int    // rounds, by exit status
	streams map[string]int // rounds, by how the stream ended
	last    []time.Duration
	broken  string // describes the first round that broke the promise

	idle, unsent excused
}

// excused are rounds whose losses are excused. They are not in the sum of the row.
type excused struct{ rounds, lost int }

// excuse excuses the losses of a round, in so many rounds or in one.
func (e *excused) excuse(o *outcome, most int) {
	if e.rounds >= max(1, most) {
		return
	}
	e.rounds++
	e.lost += o.Losses()
	o.Requests -= o.Losses()
	o.Later -= o.LaterLost
	o.Lost, o.LaterLost = nil, 0
}

// String is "2, lost 7" for two rounds that lost 7 requests.
func (e excused) String() string {
	if e.rounds == 0 {
		return ""
	}
	return fmt.Sprintf("%d, lost %d", e.rounds, e.lost)
}

// onlyUnsent reports whether the round has losses, and net/http's client did not send any
// of these requests. A server that sends GOAWAY cannot prevent that entirely.
func (o outcome) onlyUnsent() bool {
	n := o.Losses()
	return n > 0 && n == o.Lost[load.Unsent]
}

func newRow(c cell, library bool) *row {
	return &row{cell: c, library: library, exits: map[int]int{}, streams: map[string]int{}}
}

// add counts a round.
func (r *row) add(o outcome, planned int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.library:
	case o.onIdleConnections():
		r.idle.excuse(&o, planned/10)
	case o.onlyUnsent():
		r.unsent.excuse(&o, planned/100)
	}
	r.rounds++
	r.sum.Add(o.Result)
	r.exits[o.exit]++
	if o.stream != "" {
		r.streams[o.stream]++
	}
	r.last = append(r.last, o.last)
	promise := r.cell.promise
	if r.broken == "" && (o.Losses() > 0 || o.exit != promise.exit || o.stream != promise.stream) {
		r.broken = fmt.Sprintf("round %d: %d of %d lost (%s), exit %d, stream %q, connections idle for %v before (%v for their clients, which had no processor for %v at most)\n%s",
			r.rounds, o.Losses(), o.Requests, o.Kinds(), o.exit, o.stream, o.idleTimes(), o.IdleBefore, o.stall, tail(o.log, 20))
		if r.library {
			fmt.Fprintf(os.Stderr, "%s: %s\n", r.cell.name, r.broken) // the table comes hours later
		}
	}
}

// allowedHeldUp is how many dials of a cell may be held up, and one more in ten rounds,
// because a machine that stalls for half a second does that too.
const allowedHeldUp = 20

// shortfalls describes each part of the promise that the rounds did not keep.
func (r *row) shortfalls() map[part]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, all := r.cell.promise, make(map[part]string)
	if lost := r.sum.Losses(); lost > 0 {
		all[losses] = fmt.Sprintf("%d of %d requests lost in %d shutdowns (%s)", lost, r.sum.Requests, r.rounds, r.sum.Kinds())
	}
	if r.sum.HeldUp > allowedHeldUp+r.rounds/10 {
		all[dials] = fmt.Sprintf("%d dials held up in %d shutdowns", r.sum.HeldUp, r.rounds)
	}
	if wrong := r.rounds - r.exits[p.exit]; wrong > 0 {
		all[exitStatus] = fmt.Sprintf("%d of %d rounds did not exit with status %d", wrong, r.rounds, p.exit)
	}
	if wrong := r.rounds - r.streams[p.stream]; p.stream != "" && wrong > 0 {
		all[streamEnd] = fmt.Sprintf("the stream was not %s in %d of %d rounds", p.stream, wrong, r.rounds)
	}
	return all
}

// printTable prints a line for each row that has run. Requests that began before
// SIGTERM was sent and later ones are counted apart. DIAL RST counts the losses that
// are dials that were reset. A dial is HELD UP if it takes over 0.5 s. IDLE and UNSENT
// count the rounds whose losses are excused, and these losses, which are in no other
// column.
func printTable(w io.Writer, rows []*row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CELL\tSERVER\tPROMISE\tROUNDS\tBEFORE\tLOST\tLATER\tLOST\tBY KIND\tDIAL RST\tHELD UP\tIDLE\tUNSENT\tEXIT\tSTREAM\tLAST REPLY TO EXIT")
	for _, r := range rows {
		if r.rounds == 0 {
			continue
		}
		server, promise := "control", ""
		if r.library {
			server, promise = "library", r.cell.promise.String()
		}

		slices.Sort(r.last)
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%d\t%v\t%v\t%s\t%s\tmedian %v, max %v\n", r.cell.name, server, promise, r.rounds,
			r.sum.Requests-r.sum.Later, r.sum.Losses()-r.sum.LaterLost, r.sum.Later, r.sum.LaterLost, r.sum.Kinds(), r.sum.Lost[load.DialReset], r.sum.HeldUp, r.idle, r.unsent,
			tally(r.exits), tally(r.streams), milliseconds(r.last[len(r.last)/2]), milliseconds(r.last[len(r.last)-1]))
	}
	t.Flush()
}

func milliseconds(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// tally is "0" if all rounds agree, otherwise "0 x 19, 1 x 1".
func tally[K int | string](counts map[K]int) string {
	var parts []string
	for k, n := range counts {
		if len(counts) == 1 {
			return fmt.Sprint(k)
		}
		parts = append(parts, fmt.Sprintf("%v x %d", k, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func text(rows []*row) string {
	var b strings.Builder
	printTable(&b, rows)
	return b.String()
}

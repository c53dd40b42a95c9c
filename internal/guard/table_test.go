package guard

import (
	"fmt"
	"io"
	"math"
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
	broken  string // what the first round that broke the promise showed

	idle     int // rounds in which all that was lost was lost with an idle connection; their losses are not counted above
	idleLost int
}

func newRow(c cell, library bool) *row {
	return &row{cell: c, library: library, exits: map[int]int{}, streams: map[string]int{}}
}

// linger is for how long package httpserver waits for a request on an idle
// connection, less what a client does not see of it.
const linger = 40 * time.Millisecond

// withIdleConnections reports whether everything that a round lost was lost with
// a connection that had been idle for so long that the server may have been
// closing it in that moment. That is the limit that package httpserver documents
// ("Limits"). For how long its clients had no processor adds to how long a
// connection was idle: they see late that an answer has come.
func (o outcome) withIdleConnections() bool {
	n := 0
	for _, idle := range o.IdleBefore {
		if idle+o.stall > linger {
			n++
		}
	}
	return n > 0 && n == o.Losses() && n <= clients
}

// add counts a round of so many. At most a tenth of the rounds, or one, may lose
// requests with idle connections.
func (r *row) add(o outcome, planned int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.library && o.withIdleConnections() && r.idle < max(1, planned/10) {
		r.idle++
		r.idleLost += o.Losses()
		o.Requests -= o.Losses()
		o.Later -= o.LaterLost
		o.Lost, o.LaterLost = nil, 0
	}
	r.rounds++
	r.sum.Add(o.Result)
	r.exits[o.exit]++
	if o.stream != "" {
		r.streams[o.stream]++
	}
	r.last = append(r.last, o.last)
	promise := r.cell.promise
	if r.broken == "" && (float64(o.Losses()) > promise.lost || o.exit != promise.exit || o.stream != promise.stream) {
		r.broken = fmt.Sprintf("round %d: %d of %d lost (%s), exit %d, stream %q, clients without a processor for %v at most\n%s",
			r.rounds, o.Losses(), o.Requests, o.Kinds(), o.exit, o.stream, o.stall, tail(o.log, 20))
	}
}

// shortfalls says where the rounds fell short of the cell's promise.
func (r *row) shortfalls() map[part]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, all := r.cell.promise, make(map[part]string)
	// A limit is a mean: one round may be at it.
	if lost := r.sum.Losses(); float64(lost) > math.Ceil(p.lost*float64(r.rounds)) {
		all[losses] = fmt.Sprintf("%d of %d requests lost in %d shutdowns (%s)", lost, r.sum.Requests, r.rounds, r.sum.Kinds())
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
// SIGTERM was sent and later ones are counted apart; how many of the losses are
// dials that were reset has a column of its own. Dials are held up if they take
// over 0.5 s. IDLE counts the rounds that lost requests with idle connections,
// and these requests, which are in no other column.
func printTable(w io.Writer, rows []*row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CELL\tSERVER\tPROMISE\tROUNDS\tBEFORE\tLOST\tLATER\tLOST\tBY KIND\tDIAL RST\tHELD UP\tIDLE\tEXIT\tSTREAM\tLAST REPLY TO EXIT")
	for _, r := range rows {
		if r.rounds == 0 {
			continue
		}
		server, promise := "control", ""
		if r.library {
			server, promise = "library", r.cell.promise.String()
		}
		if of := r.cell.expected.of; r.library && len(of) > 0 {
			promise += fmt.Sprintf(" (%s: expected to fail)", joined(of))
		}
		slices.Sort(r.last)
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%d\t%s\t%s\t%s\tmedian %v, max %v\n", r.cell.name, server, promise, r.rounds,
			r.sum.Requests-r.sum.Later, r.sum.Losses()-r.sum.LaterLost, r.sum.Later, r.sum.LaterLost, r.sum.Kinds(), r.sum.Lost[load.DialReset], r.sum.HeldUp, r.idleLosses(),
			tally(r.exits), tally(r.streams), milliseconds(r.last[len(r.last)/2]), milliseconds(r.last[len(r.last)-1]))
	}
	t.Flush()
}

// idleLosses is "2, lost 7" for two rounds that lost 7 requests so.
func (r *row) idleLosses() string {
	if r.idle == 0 {
		return ""
	}
	return fmt.Sprintf("%d, lost %d", r.idle, r.idleLost)
}

func milliseconds(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// tally is "0" if all rounds agree, else "0 x 19, 1 x 1".
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

// joined is "stream, exit status".
func joined(parts []part) string {
	var names []string
	for _, p := range parts {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

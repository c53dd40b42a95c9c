package guard

import (
	"fmt"
	"io"
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

	stalled     int // rounds that lost something while the clients stood still; not counted above
	stalledLost int
}

func newRow(c cell, library bool) *row {
	return &row{cell: c, library: library, exits: map[int]int{}, streams: map[string]int{}}
}

// add counts a round. It reports whether the round has to be repeated: clients
// that had no processor for as long as a server waits for idle ones lose what
// they send on a connection that it is closing. So a loss in such a round shows
// nothing. There may be few of these, or the losses count after all.
func (r *row) add(o outcome, planned int) (again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.library && o.stall > stallLimit && o.Losses() > 0 && r.stalled < max(3, planned/10) {
		r.stalled++
		r.stalledLost += o.Losses()
		return true
	}
	r.rounds++
	r.sum.Add(o.Result)
	r.exits[o.exit]++
	if o.stream != "" {
		r.streams[o.stream]++
	}
	r.last = append(r.last, o.last)
	promise := r.cell.promise
	if r.broken == "" && (promise.lost == 0 && o.Losses() > 0 || o.exit != promise.exit || o.stream != promise.stream) {
		r.broken = fmt.Sprintf("round %d: %d of %d lost (%s), exit %d, stream %q, clients without a processor for %v at most\n%s",
			r.rounds, o.Losses(), o.Requests, o.Kinds(), o.exit, o.stream, o.stall, tail(o.log, 20))
	}
	return false
}

// shortfalls says where the rounds fell short of the cell's promise.
func (r *row) shortfalls() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.cell.promise
	if lost := r.sum.Losses(); float64(lost) > p.lost*float64(r.rounds) {
		all = append(all, fmt.Sprintf("%d of %d requests lost in %d shutdowns (%s)", lost, r.sum.Requests, r.rounds, r.sum.Kinds()))
	}
	if wrong := r.rounds - r.exits[p.exit]; wrong > 0 {
		all = append(all, fmt.Sprintf("%d of %d rounds did not exit with status %d", wrong, r.rounds, p.exit))
	}
	if wrong := r.rounds - r.streams[p.stream]; p.stream != "" && wrong > 0 {
		all = append(all, fmt.Sprintf("the stream was not %s in %d of %d rounds", p.stream, wrong, r.rounds))
	}
	return all
}

// printTable prints a line for each row that has run. Requests that began before
// SIGTERM was sent and later ones are counted apart; resets of dials are no
// losses here, but have a column of their own. Dials are held up if they take
// over 0.5 s. Rounds in which the clients stood still and lost something were
// repeated, and are not in the other columns.
func printTable(w io.Writer, rows []*row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CELL\tSERVER\tPROMISE\tROUNDS\tBEFORE\tLOST\tLATER\tLOST\tBY KIND\tDIAL RST\tHELD UP\tSTALLED\tEXIT\tSTREAM\tLAST REPLY TO EXIT")
	for _, r := range rows {
		if r.rounds == 0 {
			continue
		}
		server, promise := "control", ""
		if r.library {
			server, promise = "library", r.cell.promise.String()
		}
		if r.library && r.cell.issue != "" {
			promise += " (expected to fail)"
		}
		resets := r.sum.Lost[load.DialReset]
		lost := r.sum.Losses() - r.sum.LaterLost
		slices.Sort(r.last)
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%d\t%s\t%s\t%s\tmedian %v, max %v\n", r.cell.name, server, promise, r.rounds,
			r.sum.Requests-r.sum.Later, lost, r.sum.Later, r.sum.LaterLost-resets, r.kinds(), resets, r.sum.HeldUp, r.stalls(),
			tally(r.exits), tally(r.streams), milliseconds(r.last[len(r.last)/2]), milliseconds(r.last[len(r.last)-1]))
	}
	t.Flush()
}

// stalls is "2, lost 7" for two rounds that were repeated.
func (r *row) stalls() string {
	if r.stalled == 0 {
		return ""
	}
	return fmt.Sprintf("%d, lost %d", r.stalled, r.stalledLost)
}

func (r *row) kinds() string {
	lost := r.sum
	lost.Lost = nil
	lost.Add(load.Result{Lost: r.sum.Lost})
	delete(lost.Lost, load.DialReset)
	return lost.Kinds()
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

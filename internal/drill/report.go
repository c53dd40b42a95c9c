package drill

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/gracefulgo/shutdown/internal/clip"
)

// Table writes a line for each row.
func (r Result) Table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(r.Plan.Targets) > 1 {
		fmt.Fprint(t, "SERVER\t")
	}
	fmt.Fprintln(t, "MODE\tROUNDS\tREQUESTS\tLOST\tBY KIND\tLAST REPLY TO EXIT")
	for _, row := range r.Rows {
		if row.Rounds == 0 {
			continue // a program had to be killed before
		}
		if row.several {
			fmt.Fprintf(t, "%s\t", row.Target.Name)
		}
		fmt.Fprintf(t, "%v\t%d\t%d\t%d\t%s\t%s\n", row.Mode, row.Rounds, row.Requests, row.Losses(), row.Kinds(), medianAndMax(row.LastReplyToExit))
	}
	_ = t.Flush() // errors of w are the caller's to notice, as with fmt.Fprint
}

func medianAndMax(sorted []time.Duration) string {
	if len(sorted) == 0 {
		return ""
	}
	return fmt.Sprintf("median %v, max %v", milliseconds(sorted[(len(sorted)-1)/2]), milliseconds(sorted[len(sorted)-1]))
}

func milliseconds(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// Text writes what was seen of the only target, in words, and the verdict. It reports
// whether that is good.
func (r Result) Text(w io.Writer) (ok bool) {
	t := &r.Plan.Targets[0]
	sum := r.Sum(t)
	r.Table(w)
	fmt.Fprintf(w, "\nFrom %s to the exit: %s.\n", r.stop(), medianAndMax(sum.StopToExit))
	for _, how := range byCount(sum.Exits) {
		fmt.Fprintf(w, "Exit: %s in %d of %s.\n", how, sum.Exits[how], clip.Count(sum.Rounds, "shutdown"))
	}
	if sum.Delayed+sum.HeldUp > 0 {
		fmt.Fprintf(w, "Slow: %s answered after more than 0.5s, %s took more than that.\n", clip.Count(sum.Delayed, "request"), clip.Count(sum.HeldUp, "dial"))
	}
	for _, outcome := range byCount(sum.Held) {
		fmt.Fprintf(w, "Held request: %s in %d of %s.\n", outcome, sum.Held[outcome], clip.Count(sum.Rounds, "shutdown"))
	}
	if len(sum.IdleClosed) > 0 {
		fmt.Fprintf(w, "Idle connection: closed after %s.\n", medianAndMax(sum.IdleClosed))
	}
	problems := r.Problems(t)
	if len(problems) == 0 {
		left := ", no process was left, and nothing listens on the port"
		if !treeIsKnown {
			left = ", and nothing listens on the port"
		}
		fmt.Fprintf(w, "\nPASS: each of %s was answered in %s%s.\n", clip.Count(sum.Requests, "request"), clip.Count(sum.Rounds, "shutdown"), left)
		return true
	}
	fmt.Fprintln(w, "\nFAIL:")
	for _, p := range problems {
		fmt.Fprintln(w, "- "+p)
	}
	return false
}

// The JSON of a Result. Times are in seconds, as in the report of package shutdown.
type (
	jsonResult struct {
		OK          bool           `json:"ok"`
		Problems    []string       `json:"problems"`
		Command     []string       `json:"command"`
		Stop        string         `json:"stop"`
		Rows        []jsonRow      `json:"rows"`
		Shutdowns   int            `json:"shutdowns"`
		Exits       map[string]int `json:"exits"` // by exit code or signal
		StopToExit  *jsonTimes     `json:"stop_to_exit"`
		Held        map[string]int `json:"held,omitempty"`
		IdleClosed  *jsonTimes     `json:"idle_closed,omitempty"`
		Left        map[string]int `json:"left"`      // shutdowns, by process
		Listening   int            `json:"listening"` // shutdowns after which something listened
		KilledAfter float64        `json:"killed_after_seconds,omitempty"`
	}
	jsonRow struct {
		Mode            string         `json:"mode"`
		Shutdowns       int            `json:"shutdowns"`
		Requests        int            `json:"requests"`
		Lost            map[string]int `json:"lost"` // by kind
		Delayed         int            `json:"delayed"`
		DialsHeldUp     int            `json:"dials_held_up"`
		LastReplyToExit *jsonTimes     `json:"last_reply_to_exit"`
	}
	jsonTimes struct {
		Median float64 `json:"median_seconds"`
		Max    float64 `json:"max_seconds"`
	}
)

// JSON writes the Result of the only target, and reports whether it is good.
func (r Result) JSON(w io.Writer) (ok bool, err error) {
	t := &r.Plan.Targets[0]
	sum, problems := r.Sum(t), r.Problems(t)
	out := jsonResult{
		OK: len(problems) == 0, Problems: append([]string{}, problems...), Command: t.Command, Stop: r.stop(),
		Shutdowns: sum.Rounds, Exits: sum.Exits, StopToExit: times(sum.StopToExit), Held: sum.Held,
		IdleClosed: times(sum.IdleClosed), Left: notNil(sum.Left), Listening: sum.Listening,
	}
	if sum.Killed {
		out.KilledAfter = r.Plan.Grace.Seconds()
	}
	for _, row := range r.Rows {
		if row.Rounds == 0 {
			continue
		}
		out.Rows = append(out.Rows, jsonRow{row.Mode.String(), row.Rounds, row.Requests, notNil(row.Lost), row.Delayed, row.HeldUp, times(row.LastReplyToExit)})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return out.OK, e.Encode(out)
}

func times(sorted []time.Duration) *jsonTimes {
	if len(sorted) == 0 {
		return nil
	}
	return &jsonTimes{sorted[(len(sorted)-1)/2].Seconds(), sorted[len(sorted)-1].Seconds()}
}

// notNil makes an empty map of nil, which JSON would show as null.
func notNil(m map[string]int) map[string]int {
	if m == nil {
		return map[string]int{}
	}
	return m
}

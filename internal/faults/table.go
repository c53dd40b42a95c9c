package faults

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// A Table sums up runs. Its methods are safe for concurrent use.
type Table struct {
	mu          sync.Mutex     // protects what follows
	runs        int            // that were done
	errors      int            // runs that could not be done
	results     map[string]int // runs by result
	faults      map[string]int // runs by fault
	violations  map[string]int // by invariant
	violating   map[string][]uint64
	lost        int             // requests, excused or not
	lostIn      int             // runs that lost requests
	excused     []uint64        // seeds with losses that clientsStalled excuses
	busy        int             // runs in which wasBusy switches off the checks of short times
	starved     []uint64        // seeds with a hook that neverScheduled excuses
	lateRecord  int             // runs that recordIsExcused excuses
	stalls      []time.Duration // the longest of each run
	latest      time.Duration   // return of Wait, from the deadline; negative if always before
	latestSeed  uint64
	unavailable map[string]int // runs without a fault that the machine did not allow, by fault
}

// NewTable returns an empty Table.
func NewTable() *Table {
	return &Table{
		results: make(map[string]int), faults: make(map[string]int), violations: make(map[string]int),
		violating: make(map[string][]uint64), unavailable: make(map[string]int),
	}
}

// Add counts a run, and returns its violations.
func (t *Table) Add(o Outcome) []Violation {
	violations := Check(o)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.runs++
	end, _ := o.end()
	switch {
	case end != nil:
		t.results[end.Result]++
	default:
		t.results["ended by a signal"]++
	}
	for _, f := range o.Plan.Faults {
		t.faults[f]++
	}
	for _, e := range o.all(unavailable) {
		t.unavailable[e.Name+": "+e.Error]++
	}
	if o.wasBusy() {
		t.busy++
	}
	if o.hookExcused() {
		t.starved = append(t.starved, o.Plan.Seed)
	}
	if o.recordIsExcused() {
		t.lateRecord++
	}
	t.stalls = append(t.stalls, o.stall())
	if n := o.Load.Losses(); n > 0 {
		t.lost += n
		t.lostIn++
		if !o.mayLose() && o.clientsStalled() {
			t.excused = append(t.excused, o.Plan.Seed)
		}
	}
	if _, at := o.end(); !at.IsZero() {
		if late := at.Sub(o.deadline()); t.runs == 1 || late > t.latest {
			t.latest, t.latestSeed = late, o.Plan.Seed
		}
	}
	for _, v := range violations {
		t.violations[v.Invariant]++
		if seeds := t.violating[v.Invariant]; !slices.Contains(seeds, o.Plan.Seed) {
			t.violating[v.Invariant] = append(seeds, o.Plan.Seed)
		}
	}
	return violations
}

// Fail counts a run that could not be done.
func (t *Table) Fail() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errors++
}

// Progress returns a line that says how far a series is.
func (t *Table) Progress(of int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, v := range t.violations {
		n += v
	}
	return fmt.Sprintf("%d of %d runs, %d violations", t.runs, of, n)
}

// Print writes the tables.
func (t *Table) Print(w io.Writer, took, stall time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer tab.Flush()
	fmt.Fprintln(tab, "FAULT\tSEEDS")
	for _, name := range byCount(t.faults) {
		fmt.Fprintf(tab, "%s\t%d\n", name, t.faults[name])
	}
	for _, name := range byCount(t.unavailable) {
		fmt.Fprintf(tab, "not available here: %s\t%d\n", name, t.unavailable[name])
	}
	fmt.Fprintln(tab, "\nRESULT\tSEEDS")
	for _, name := range byCount(t.results) {
		fmt.Fprintf(tab, "%s\t%d\n", name, t.results[name])
	}
	fmt.Fprintln(tab, "\nINVARIANT\tVIOLATIONS")
	for _, i := range invariants {
		fmt.Fprintf(tab, "%s\t%d %s\n", i.name, t.violations[i.name], seedList(t.violating[i.name]))
	}
	fmt.Fprintf(tab, "\nrequests of the load lost, most of them in forced ends: %d in %d seeds\n", t.lost, t.lostIn)
	fmt.Fprintf(tab, "of these excused because the clients were not scheduled: %d seeds %s\n", len(t.excused), seedList(t.excused))
	fmt.Fprintf(tab, "hooks of a forced end that were abandoned before they ran: %d seeds %s\n", len(t.starved), seedList(t.starved))
	fmt.Fprintf(tab, "records that were late in a forced end, at the deadline or on a busy machine: %d\n", t.lateRecord)
	fmt.Fprintf(tab, "latest return of Wait, from the deadline: %v (seed %d)\n", t.latest.Round(time.Millisecond), t.latestSeed)
	fmt.Fprintf(tab, "runs in which the machine was too busy for the checks of what is short of time: %d\n", t.busy)
	fmt.Fprintf(tab, "the longest stall of a run: median %v, 90 %% at most %v, maximum %v\n", t.stall(50), t.stall(90), t.stall(100))
	fmt.Fprintf(tab, "%d runs in %v; %d could not be done; this process was not scheduled for %v in all\n",
		t.runs, took.Round(time.Second), t.errors, stall.Round(time.Millisecond))
}

// stall returns a percentile of the runs' longest stalls.
func (t *Table) stall(percent int) time.Duration {
	if len(t.stalls) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(t.stalls))
	return sorted[(len(sorted)-1)*percent/100].Round(time.Millisecond)
}

const (
	// maxBusyPercent is above the share of busy runs on a machine with one other job.
	maxBusyPercent = 15
	// minRunsForShare is how many runs there have to be for a share to mean anything.
	minRunsForShare = 50
)

// TooMany describes the excuses that are too many for the runs to mean anything.
func (t *Table) TooMany() (wrong []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	limit := max(1, t.runs/100)
	for what, seeds := range map[string][]uint64{"lost requests": t.excused, "hooks that did not run": t.starved} {
		if len(seeds) > limit {
			wrong = append(wrong, fmt.Sprintf("%s are excused in %d of %d runs, which is more than %d: %s",
				what, len(seeds), t.runs, limit, seedList(seeds)))
		}
	}
	if t.runs >= minRunsForShare && 100*t.busy > maxBusyPercent*t.runs {
		wrong = append(wrong, fmt.Sprintf("the machine is too busy to show anything: in %d of %d runs, more than %d %%, there was a stall of more than %v",
			t.busy, t.runs, maxBusyPercent, busyStall))
	}
	return wrong
}

func seedList(seeds []uint64) string {
	if len(seeds) == 0 {
		return ""
	}
	return fmt.Sprintf("(seeds %s)", strings.Trim(fmt.Sprint(seeds), "[]"))
}

func byCount(n map[string]int) []string {
	return slices.SortedFunc(maps.Keys(n), func(a, b string) int {
		return cmp.Or(cmp.Compare(n[b], n[a]), cmp.Compare(a, b))
	})
}

// maxTail is how much of the child's log a violation shows.
const maxTail = 4 << 10

// Describe returns the text of a run's violations, with the plan, the Report, the log
// and the command that repeats the run.
func Describe(o Outcome, violations []Violation) string {
	var s strings.Builder
	fmt.Fprintf(&s, "seed %d:\n", o.Plan.Seed)
	for _, v := range violations {
		fmt.Fprintf(&s, "  %s: %s\n", v.Invariant, v.What)
	}
	plan, err := json.Marshal(o.Plan)
	if err != nil {
		plan = []byte(err.Error())
	}
	fmt.Fprintf(&s, "plan: %s\n", plan)
	if end, _ := o.end(); end != nil {
		fmt.Fprintf(&s, "%v\n", end.Report)
	}
	fmt.Fprintf(&s, "exit status %d, signal %q; %d signals sent; longest stall %v, of the clients' process %v; longest silence of a client %v\n",
		o.ExitCode, o.EndedBy, len(o.Sent), o.stall().Round(time.Millisecond), o.Stall.Round(time.Millisecond), o.Load.Silence.Round(time.Millisecond))
	text := o.LogText
	if len(text) > maxTail {
		text = "..." + text[len(text)-maxTail:]
	}
	fmt.Fprintf(&s, "the end of the log:\n%s\n", text)
	fmt.Fprintf(&s, "repeat with: go test ./internal/faults -v -run TestFaults -seed %d\n", o.Plan.Seed)
	return s.String()
}

// journalText returns the child's journal as text, with times since the first event.
func (o Outcome) journalText() string {
	var s strings.Builder
	for _, e := range o.Journal {
		fmt.Fprintf(&s, "%8.1fms %-16s %s", float64(e.At.Sub(o.Journal[0].At).Microseconds())/1000, e.Kind, e.Name)
		if e.Error != "" {
			fmt.Fprintf(&s, ": %.200s", e.Error)
		}
		if e.Cut {
			s.WriteString(" (cut off)")
		}
		s.WriteString("\n")
	}
	return s.String()
}

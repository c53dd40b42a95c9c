package drill

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/internal/clip"
	"github.com/gracefulgo/shutdown/internal/load"
	"github.com/gracefulgo/shutdown/internal/signame"
)

// A Result has a row for each target and mode.
type Result struct {
	Plan Plan
	Rows []*Row
}

// A Row sums up the rounds of one target in one mode.
type Row struct {
	Target *Target
	Mode   load.Mode
	Rounds int
	load.Result

	LastReplyToExit []time.Duration // of each round, sorted
	StopToExit      []time.Duration // of each round, sorted
	IdleClosed      []time.Duration // from the stop, of the rounds in which the server closed the idle connection
	Exits           map[string]int  // rounds by how the program ended: "0", "3", "SIGTERM"
	Unhandled       int             // rounds in which it had no handler for the signal
	Killed          bool            // the last round, by us, at the end of the grace period
	Accepting       bool            // it accepted connections then
	Answering       bool            // it answered requests that were sent after half of that
	Left            map[string]int  // rounds by the name of a process that was left
	LeftRounds      int             // rounds in which a process was left
	Listening       int             // rounds in which something listened on the port afterwards
	Held            map[string]int  // held requests by their outcome

	several bool
}

func (r *Row) title() string {
	if r.several {
		return fmt.Sprintf("%s, %v", r.Target.Name, r.Mode)
	}
	return r.Mode.String()
}

func (r *Row) add(one round) {
	r.Rounds++
	switch one.held {
	case "", answeredBefore:
	case answered:
		one.Requests++
	default:
		one.Lose("held "+one.held, false)
	}
	r.Add(one.Result)
	insert := func(sorted []time.Duration, d time.Duration) []time.Duration {
		i, _ := slices.BinarySearch(sorted, d)
		return slices.Insert(sorted, i, d)
	}
	r.LastReplyToExit = insert(r.LastReplyToExit, one.lastReply)
	r.StopToExit = insert(r.StopToExit, one.took)
	if one.idleClosed > 0 {
		r.IdleClosed = insert(r.IdleClosed, one.idleClosed)
	}
	count(&r.Exits, one.exit)
	if !one.handled {
		r.Unhandled++
	}
	r.Killed, r.Accepting, r.Answering = one.killed, one.accepting, one.answering
	for _, name := range slices.Compact(slices.Sorted(slices.Values(one.left))) {
		count(&r.Left, name)
	}
	if len(one.left) > 0 {
		r.LeftRounds++
	}
	if one.listening {
		r.Listening++
	}
	if one.held != "" {
		count(&r.Held, one.held)
	}
}

func count(m *map[string]int, key string) {
	if *m == nil {
		*m = make(map[string]int)
	}
	(*m)[key]++
}

// Sum returns the rows of a target as one.
func (r Result) Sum(t *Target) Row {
	sum := Row{Target: t}
	for _, row := range r.Rows {
		if row.Target != t {
			continue
		}
		sum.Rounds += row.Rounds
		sum.Add(row.Result)
		sum.LastReplyToExit = append(sum.LastReplyToExit, row.LastReplyToExit...)
		sum.StopToExit = append(sum.StopToExit, row.StopToExit...)
		sum.IdleClosed = append(sum.IdleClosed, row.IdleClosed...)
		sum.Killed = sum.Killed || row.Killed
		sum.Accepting = sum.Accepting || row.Accepting
		sum.Answering = sum.Answering || row.Answering
		sum.Unhandled += row.Unhandled
		sum.LeftRounds += row.LeftRounds
		sum.Listening += row.Listening
		for _, m := range []struct{ sum, row *map[string]int }{
			{&sum.Exits, &row.Exits}, {&sum.Left, &row.Left}, {&sum.Held, &row.Held},
		} {
			for key, n := range *m.row {
				count(m.sum, key)
				(*m.sum)[key] += n - 1
			}
		}
	}
	slices.Sort(sum.LastReplyToExit)
	slices.Sort(sum.StopToExit)
	slices.Sort(sum.IdleClosed)
	return sum
}

// Problems says what a program that shuts down well does not do. Each is a sentence.
func (r Result) Problems(t *Target) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	sum, stop := r.Sum(t), r.stop()
	if lost := sum.Losses(); lost > 0 {
		text := ""
		if len(sum.Exits) == 1 && sum.Exits["0"] > 0 {
			text = " The program's exit code was 0 all the same."
		}
		say("%d of %s got no answer, or one that does not count, in %s: %s.%s", lost, clip.Count(sum.Requests, "request"), clip.Count(sum.Rounds, "shutdown"), sum.Kinds(), text)
	}
	hangs := func(text string) { say("It did not exit within %v of %s%s", r.Plan.Grace, stop, text) }
	switch {
	case !sum.Killed:
		if sum.Unhandled > 0 {
			say("It has no handler for %s, so it cuts off what is in flight.", stop)
		}
	case sum.Answering && sum.Accepting:
		hangs(", and went on answering requests: that does not reach it, or it ignores it.")
	case sum.Answering:
		hangs(". It had stopped listening, but went on answering on open connections.")
	case sum.Accepting:
		hangs(". It accepted connections, but answered no requests any more.")
	default:
		hangs(". It had stopped listening and answered no requests any more: it waits for something, such as an idle connection, or hangs.")
	}
	for _, how := range slices.Sorted(maps.Keys(sum.Exits)) {
		rounds := fmt.Sprintf("in %d of %s", sum.Exits[how], clip.Count(sum.Rounds, "shutdown"))
		switch {
		case how == stop && sum.Unhandled == 0 && sum.Losses() > 0:
			say("%s ended it, %s.", how, rounds)
		case how == "0", how == r.plusSignal(), how == stop: // it may have raised the signal again, as shells expect
		case sum.Killed && how == "SIGKILL":
		case strings.HasPrefix(how, "SIG"):
			say("%s ended it, %s.", how, rounds)
		default:
			say("The program's exit code was %s, %s.", how, rounds)
		}
	}
	if sum.LeftRounds > 0 {
		say("Processes were left after its exit, in %d of %s: %s.", sum.LeftRounds, clip.Count(sum.Rounds, "shutdown"), clip.AtMost(5, byCount(sum.Left)))
	}
	if sum.Listening > 0 {
		say("Something listened on %s after its exit, in %d of %s.", t.Addr, sum.Listening, clip.Count(sum.Rounds, "shutdown"))
	}
	return problems
}

// stop says how the program is stopped.
func (r Result) stop() string {
	if r.Plan.StopCommand != "" {
		return fmt.Sprintf("%q", r.Plan.StopCommand)
	}
	return signame.Name(r.Plan.Signal)
}

// byCount returns the keys of m, the most frequent first.
func byCount(m map[string]int) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b)) })
}

// plusSignal is the exit code of a shell for a program that the signal has ended. Some
// runtimes, such as Java's, exit with it when they have shut down.
func (r Result) plusSignal() string {
	if n, ok := r.Plan.Signal.(syscall.Signal); ok {
		return strconv.Itoa(128 + int(n))
	}
	return ""
}

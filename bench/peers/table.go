package main

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
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

// Tables are for docs/peers.md and, the head, for the README.
type tables struct {
	about string // what was measured
	all   []table
	head  table
}

func (r *results) tables() tables {
	return tables{
		about: r.about(),
		all: []table{
			r.lost(), r.exits(), r.delayed(), r.hooks(), r.stuck(), r.exitCodes(), r.signals(), r.startUp(), r.lineCounts(),
		},
		head: r.head(),
	}
}

func (r *results) about() string {
	names := []string{strings.TrimPrefix(runtime.Version(), "go")}
	for _, p := range r.peers {
		name := fmt.Sprintf("%s %s", p.base(), r.versions[p.module])
		if p.module != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	names[0] = "net/http of Go " + names[0]
	return fmt.Sprintf("Versions: %s. %s, %d processors.", strings.Join(names, ", "), runtime.GOOS, runtime.NumCPU())
}

// perMode makes a table with a row for each peer, in HTTP and gRPC together, and a column
// for each mode.
func (r *results) perMode(title, text string, of func(*loads) cell) table {
	t := table{title: title, text: text}
	for _, m := range modes {
		t.columns = append(t.columns, m.name)
	}
	for _, p := range r.peers {
		n := slices.IndexFunc(t.rows, func(row row) bool { return row.peer == p.base() })
		if n < 0 {
			n = len(t.rows)
			t.rows = append(t.rows, row{peer: p.base(), compared: library, cells: slices.Repeat([]cell{none}, len(modes))})
		}
		for _, l := range r.loads {
			if l.peer == p {
				t.rows[n].cells[slices.Index(t.columns, l.mode.name)] = of(l)
			}
		}
	}
	return t
}

// perPeer makes a table with a row for each peer that has a service, and its cells.
func (r *results) perPeer(title, text string, columns []string, of func(p *peer, played func(scenario) outcome) []cell) table {
	t := table{title: title, text: text, columns: columns}
	for _, p := range r.peers {
		cells := of(p, func(s scenario) outcome { return r.outcomes[p.name][s.name] })
		if cells != nil {
			t.rows = append(t.rows, row{peer: p.name, compared: p.compared(), cells: cells})
		}
	}
	return t
}

func (r *results) lost() table {
	t := r.perMode("Requests lost by a shutdown",
		fmt.Sprintf("%d clients, SIGTERM under load. Of all requests in %d shutdowns, those whose client had a connection and got no complete answer.", r.clients, r.rounds),
		func(l *loads) cell { return count(l.Losses(), fmt.Sprintf("%d of %d", l.Losses(), l.Requests)) })
	t.columns = append(t.columns, "by kind")
	for i := range t.rows {
		var sum loads
		for _, l := range r.loads {
			if l.peer.base() == t.rows[i].peer {
				sum.Add(l.Result)
			}
		}
		t.rows[i].cells = append(t.rows[i].cells, plain(sum.Kinds()))
	}
	return t
}

func (r *results) exits() table {
	return r.perMode("From the last reply to the exit", "Of the same shutdowns, median and maximum.", func(l *loads) cell {
		slices.Sort(l.exits)
		median, longest := l.exits[len(l.exits)/2], l.exits[len(l.exits)-1]
		text := fmt.Sprintf("%s, %s", milliseconds(median), milliseconds(longest))
		if l.never > 0 {
			text += fmt.Sprintf(", %d never", l.never)
		}
		return sooner(median, time.Millisecond/2, text)
	})
}

func milliseconds(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

func (r *results) delayed() table {
	return r.perMode("Delayed by over 0.5 s",
		"Of the same shutdowns, requests that were answered after over 0.5 s + dials that took longer than that or had no answer at the exit. A dial that is refused at once is neither lost nor delayed.",
		func(l *loads) cell {
			return count(l.Delayed+l.HeldUp, fmt.Sprintf("%d + %d", l.Delayed, l.HeldUp))
		})
}

// words is the duration as it stands in a text.
func words(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'g', -1, 64) + " s" }

// others is how many of the other two hooks ran.
func (o *outcome) others() cell {
	n := o.cleaned()
	return count(2-n, fmt.Sprintf("%d of 2", n))
}

// exitAfter is compared only if the clean-ups ran: to end at once is easy otherwise.
func (o *outcome) exitAfter(cleanedUp bool) cell {
	switch {
	case o.never:
		return count(int(limit/time.Second), "never")
	case !cleanedUp:
		return plain(seconds(o.after))
	}
	return sooner(o.after, 300*time.Millisecond, seconds(o.after))
}

// says reports whether the output has the name of what hangs.
func (o *outcome) says(name string) cell {
	if strings.Contains(o.output, name) {
		return good(true, "yes")
	}
	return good(false, "no")
}

func (r *results) hooks() table {
	return r.perPeer("A hook that fails, panics or hangs",
		fmt.Sprintf("Three hooks clean up, each in %s. The second one fails or panics at once, or hangs and ignores its context. How many of the other two run to their end; how long the shutdown takes if the hook hangs (%s are granted; never: it had to be killed after %s); whether the output has the name of the hook that hangs.", words(cleanUp), words(service.Grace), words(limit)),
		[]string{"fails: others that run", "panics: others that run", "hangs: others that run", "hangs: exit after", "hangs: named"},
		func(p *peer, played func(scenario) outcome) []cell {
			if !p.hooks {
				return nil
			}
			fails, panics, hangs := played(hookFails), played(hookPanics), played(hookHangs)
			cells := []cell{fails.others(), panics.others(), hangs.others(), hangs.exitAfter(hangs.cleaned() == 2), hangs.says(service.Second)}
			if !p.errors {
				cells[0] = none
			}
			return cells
		})
}

func (r *results) stuck() table {
	return r.perPeer("A request that hangs",
		"A request is never answered, and its handler ignores its context. What cleans up are the hooks or, where there are none, deferred functions.",
		[]string{"clean-ups that run", "exit after", "client gets", "named"},
		func(p *peer, played func(scenario) outcome) []cell {
			o := played(stuckRequest)
			return []cell{count(3-o.cleaned(), fmt.Sprintf("%d of 3", o.cleaned())), o.exitAfter(o.cleaned() == 3), plain(o.reply), o.says(p.stuckName())}
		})
}

// codeFor is good if the code is 0 only if all went well.
func (o *outcome) codeFor(well bool) cell {
	return good(!o.never && (o.code == 0) == well, o.String())
}

func (r *results) exitCodes() table {
	return r.perPeer("Exit codes", "128+n: signal n ended the process.",
		[]string{"all ends well", "under load", "a hook fails", "a hook panics", "a hook hangs", "a request hangs"},
		func(p *peer, played func(scenario) outcome) []cell {
			well, fails, panics, hangs, stuck := played(slowRequest), played(hookFails), played(hookPanics), played(hookHangs), played(stuckRequest)
			cells := []cell{well.codeFor(true), plain(r.codesUnderLoad(p)), fails.codeFor(false), panics.codeFor(false), hangs.codeFor(false), stuck.codeFor(false)}
			if !p.hooks {
				cells[2], cells[3], cells[4] = none, none, none
			}
			if !p.errors {
				cells[2] = none
			}
			return cells
		})
}

func (r *results) codesUnderLoad(p *peer) string {
	codes := make(map[string]int)
	for _, l := range r.loads {
		if l.peer == p {
			for code, n := range l.codes {
				codes[code] += n
			}
		}
	}
	var text []string
	for code, n := range codes {
		text = append(text, fmt.Sprintf("%s (%d)", code, n))
	}
	if len(codes) == 1 {
		text[0], _, _ = strings.Cut(text[0], " ")
	}
	slices.Sort(text)
	return strings.Join(text, ", ")
}

func (r *results) signals() table {
	return r.perPeer("Order, and further signals",
		fmt.Sprintf("A request that takes %s is in flight at SIGTERM. Whether the clean-ups wait for its end; what becomes of it if a second SIGTERM follows after %s; what a SIGINT %s after SIGTERM does instead. The library means a SIGINT after a SIGTERM as a wish to end now.", words(service.Slow), words(secondSIGTERM.later), words(thenSIGINT.later)),
		[]string{"client gets", "clean-up waits", "second SIGTERM: client gets", "second SIGTERM: end", "SIGINT: client gets", "SIGINT: clean-ups that run", "SIGINT: end"},
		func(_ *peer, played func(scenario) outcome) []cell {
			slow, second, interrupted := played(slowRequest), played(secondSIGTERM), played(thenSIGINT)
			waits := good(false, "no")
			if slow.inOrder() {
				waits = good(true, "yes")
			}
			return []cell{
				good(slow.reply == "200", slow.reply), waits,
				good(second.reply == "200", second.reply), plain(second.ended()),
				plain(interrupted.reply), count(3-interrupted.cleaned(), fmt.Sprintf("%d of 3", interrupted.cleaned())), plain(interrupted.ended()),
			}
		})
}

func (r *results) startUp() table {
	return r.perPeer("SIGTERM in the start",
		fmt.Sprintf("The start takes a second, after the clean-ups have been registered, and SIGTERM comes %s after its beginning. If the peer has a context for the start that ends at SIGTERM, the start returns then.", words(startUp.delay)),
		[]string{"exit after", "exit code", "clean-ups that run"},
		func(_ *peer, played func(scenario) outcome) []cell {
			o := played(startUp)
			return []cell{o.exitAfter(o.cleaned() == 3), plain(o.String()), count(3-o.cleaned(), fmt.Sprintf("%d of 3", o.cleaned()))}
		})
}

func (r *results) lineCounts() table {
	return r.perPeer("Lines that a user writes",
		"Lines of the services that were measured, without blank lines, comments, imports and handlers: a server, three hooks, the time limit, signals and the exit code.",
		[]string{"lines"},
		func(p *peer, _ func(scenario) outcome) []cell {
			n := r.lines[p.name]
			return []cell{count(n, fmt.Sprint(n))}
		})
}

// head sums up the most important columns of the other tables. A peer that serves HTTP and
// gRPC has one row.
func (r *results) head() table {
	t := table{columns: []string{"lost a shutdown, HTTP", "lost a shutdown, gRPC", "a hook hangs: others that run", "a request hangs: clean-ups that run", "exit code then", "named", "lines"}}
	for _, p := range r.peers {
		if p.name != p.base() {
			continue
		}
		hangs, stuck, lines := r.outcomes[p.name][hookHangs.name], r.outcomes[p.name][stuckRequest.name], r.lines[p.name]
		cells := []cell{
			r.average(p.base(), false), r.average(p.base(), true), hangs.others(),
			count(3-stuck.cleaned(), fmt.Sprintf("%d of 3", stuck.cleaned())), stuck.codeFor(false), stuck.says(p.stuckName()),
			count(lines, fmt.Sprint(lines)),
		}
		if !p.hooks {
			cells[2] = none
		}
		t.rows = append(t.rows, row{peer: p.name, compared: library, cells: cells})
	}
	return t
}

// average returns how many requests a shutdown lost on average, in all modes of HTTP or
// gRPC.
func (r *results) average(base string, grpc bool) cell {
	lost, rounds := 0, 0
	for _, l := range r.loads {
		if l.peer.base() == base && l.mode.grpc == grpc {
			lost += l.Losses()
			rounds += l.rounds
		}
	}
	if rounds == 0 {
		return none
	}
	return cell{text: fmt.Sprintf("%.1f", float64(lost)/float64(rounds)), score: float64(lost) / float64(rounds)}
}

func printTables(w io.Writer, t tables) {
	fmt.Fprintf(w, "%s\n\n", t.about)
	for i := range t.all {
		t.all[i].print(w)
	}
}

// The tables are between these lines of a file.
const (
	tablesBegin = "<!-- tables: begin -->\n"
	tablesEnd   = "<!-- tables: end -->"
)

// writeTables writes the tables into docs/peers.md, and the head into README.md.
func writeTables(root string, t tables) error {
	var all, head strings.Builder
	printTables(&all, t)
	t.head.print(&head)
	if err := replace(filepath.Join(root, "docs", "peers.md"), all.String()); err != nil {
		return err
	}
	return replace(filepath.Join(root, "README.md"), head.String())
}

func replace(path, with string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begun := strings.Cut(string(text), tablesBegin)
	_, after, ended := strings.Cut(rest, tablesEnd)
	if !begun || !ended {
		return fmt.Errorf("%s has no lines %q and %q", path, strings.TrimSpace(tablesBegin), tablesEnd)
	}
	return os.WriteFile(path, []byte(before+tablesBegin+"\n"+with+tablesEnd+after), 0o644)
}

// versions returns the versions of the modules that this program and go-zero's are made
// of.
func (b *bench) versions() (map[string]string, error) {
	ours, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, errors.New("this program has no build information")
	}
	deps := ours.Deps
	if theirs, err := buildinfo.ReadFile(b.gozero); err == nil {
		deps = append(deps, theirs.Deps...)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := make(map[string]string)
	for _, m := range deps {
		all[m.Path] = m.Version
	}
	return all, nil
}

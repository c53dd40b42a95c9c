package main

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

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

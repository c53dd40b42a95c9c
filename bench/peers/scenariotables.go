package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
)

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

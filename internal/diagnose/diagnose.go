// Package diagnose detects whether the way in which a program was started keeps SIGTERM
// from arriving. It reads /proc. It does not log, and changes nothing.
//
// It reports only what is certain, because a wrong warning in the log of each start is
// worse than none. A shell with a handler for SIGTERM is assumed to pass it on. So is a
// program that is not known here: systemd, a supervisor, a terminal, a CI runner, go test.
// If /proc cannot be read, nothing is reported.
package diagnose

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/internal/signame"
)

// A Finding is a reason why a signal does not arrive, or why the shutdown cannot end
// in time.
type Finding struct {
	Problem string // "PID 1 is /bin/sh ./start.sh, which does not pass SIGTERM on"
	Remedy  string // "end the script with `exec ./app`, or use the exec form of CMD"
}

func (f Finding) String() string { return f.Problem + ": " + f.Remedy }

// A Process is the process that is examined.
type Process struct {
	Proc fs.FS // /proc; nil if there is none, as in some tests
	PID  int
}

// Self returns the present process.
func Self() Process { return Process{os.DirFS("/proc"), os.Getpid()} }

// A program that reaps its children does so within reapTime, even on a busy machine.
const reapTime = 200 * time.Millisecond

// WatchUnreaped looks for a child that has ended and was not reaped. The function that it
// returns looks again, later, and reports the child if it is still there.
func (me Process) WatchUnreaped() (again func() (Finding, bool)) {
	child, looked := me.unreaped(), time.Now()
	return func() (Finding, bool) {
		if child == nil || time.Since(looked) < reapTime {
			return Finding{}, false
		}
		return me.stillUnreaped(child)
	}
}

// Look returns what keeps the program from getting sigs, which it wants to catch, the worst
// first. ignored reports whether a signal was ignored when the program started.
func (me Process) Look(sigs []os.Signal, ignored func(os.Signal) bool) (findings []Finding) {
	term := slices.Contains(sigs, os.Signal(syscall.SIGTERM))
	if term {
		if f, ok := me.swallowsTerm(); ok {
			findings = append(findings, f)
		}
	}
	slices.SortFunc(sigs, func(a, b os.Signal) int { return strings.Compare(signame.Name(a), signame.Name(b)) })
	for _, sig := range sigs {
		// A shell without job control makes the commands that it starts in the background
		// ignore SIGINT, because Ctrl-C is not meant for them. That does no harm if the
		// program gets SIGTERM, and correct scripts would get a warning
		// (./app & trap ... TERM; wait).
		if sig == os.Interrupt && term || !ignored(sig) {
			continue
		}
		findings = append(findings, Finding{
			Problem: signame.Name(sig) + " was ignored when the program started, and stays ignored",
			Remedy:  "start it without nohup and trap '', and not in the background of a script; or take the signal out of Config.Signals",
		})
	}
	if len(sigs) > 0 {
		if f, ok := me.givenChild(); ok {
			findings = append(findings, f)
		}
	}
	return findings
}

// Package diagnose finds out what in the way a program was started keeps SIGTERM
// from arriving. It looks at /proc, and changes and logs nothing.
//
// It reports only what is certain. A shell with a handler for SIGTERM is trusted to
// do something with it. So is a program that it does not know: systemd, a
// supervisor, a terminal, a CI runner, go test. Where /proc cannot be read, nothing is
// found. A warning that is not true, in the log of every start, is worse than none.
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

// A Process is the one to look at: this one, or what a test puts in its place.
type Process struct {
	Proc fs.FS // /proc; nil if there is none
	PID  int
}

// Self is this process.
func Self() Process { return Process{os.DirFS("/proc"), os.Getpid()} }

// A program that waits for its children needs so long at most, also on a machine
// that is busy.
const reapTime = 200 * time.Millisecond

// WatchUnreaped looks for a child that has ended and that nobody has waited for. The
// function that it returns looks again, later, and reports one that is still there.
func (me Process) WatchUnreaped() (again func() (Finding, bool)) {
	child, looked := me.unreaped(), time.Now()
	return func() (Finding, bool) {
		if child == nil || time.Since(looked) < reapTime {
			return Finding{}, false
		}
		return me.stillUnreaped(child)
	}
}

// Look returns what keeps a program from getting the signals that it wants to catch,
// the worst first. ignored reports whether one was ignored when the program started.
func (me Process) Look(sigs []os.Signal, ignored func(os.Signal) bool) (findings []Finding) {
	term := slices.Contains(sigs, os.Signal(syscall.SIGTERM))
	if term {
		if f, ok := me.SwallowsTerm(); ok {
			findings = append(findings, f)
		}
	}
	slices.SortFunc(sigs, func(a, b os.Signal) int { return strings.Compare(signame.Name(a), signame.Name(b)) })
	for _, sig := range sigs {
		// A shell without job control lets whatever it starts in the background ignore
		// SIGINT, because Ctrl-C is not meant for it. With SIGTERM that costs nothing,
		// and scripts that do it right would get a warning (./app & trap ... TERM; wait).
		if sig == os.Interrupt && term || !ignored(sig) {
			continue
		}
		findings = append(findings, Finding{
			Problem: signame.Name(sig) + " was ignored when the program started, and stays ignored",
			Remedy:  "start it without nohup and trap '', and not in the background of a script; or take the signal out of Config.Signals",
		})
	}
	if len(sigs) > 0 {
		if f, ok := me.GivenChild(); ok {
			findings = append(findings, f)
		}
	}
	return findings
}

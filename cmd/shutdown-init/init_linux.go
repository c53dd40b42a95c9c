package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/reaper"
	"github.com/gracefulgo/shutdown/internal/signame"
)

// An initProcess forwards what is received to what is below it.
type initProcess struct {
	config
	child  int
	reaper *reaper.Reaper

	mu         sync.Mutex // protects what follows
	stopping   time.Time  // zero: not asked to
	terminated bool       // they have been sent what SIGTERM is forwarded as
}

// received forwards a signal, as what it is rewritten to. One that asks for the
// end starts the grace period.
func (i *initProcess) received(sig unix.Signal) {
	switch sig {
	case unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU: // about our own stderr and terminal
		return
	}
	send := i.rewritten(sig)
	if !asksForTheEnd(sig) && !asksForTheEnd(send) {
		i.reaper.Forward(send, i.childOnly)
		return
	}
	// SIGTERM comes twice wherever a preStop hook, or an init above, sends one
	// of its own; to a trap handler that is cleaning up it would be fatal. Any
	// other signal is somebody's wish.
	begins, repeated := i.begin(sig, send)
	switch {
	case begins:
		say("%s: %s to %s, and at most %v to end", signame.Name(sig), signame.Name(send), i.target(), i.grace)
		i.reaper.Stop(send, i.grace, i.childOnly)
	case !repeated:
		i.reaper.Forward(send, i.childOnly)
	}
}

func asksForTheEnd(sig unix.Signal) bool {
	return sig == unix.SIGTERM || sig == unix.SIGINT || sig == unix.SIGQUIT
}

func (i *initProcess) target() string {
	if i.childOnly {
		return "the child"
	}
	return "all processes"
}

func (i *initProcess) rewritten(sig unix.Signal) unix.Signal {
	if to, ok := i.rewrite[sig]; ok {
		return to
	}
	return sig
}

// begin says whether sig begins the stop, and whether it is a SIGTERM that would
// repeat what they have been sent.
func (i *initProcess) begin(sig, send unix.Signal) (begins, repeated bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopping.IsZero() {
		i.stopping, begins = time.Now(), true
	}
	repeated = i.terminated && sig == unix.SIGTERM
	i.terminated = i.terminated || send == i.rewritten(unix.SIGTERM)
	return begins, repeated
}

// report is told by the reaper what happens.
func (i *initProcess) report(e reaper.Event) {
	switch e.Kind {
	case reaper.Signalled:
		if len(e.Processes) > 0 {
			say("%s refused by %s", signame.Name(e.Signal), refusals(e.Processes))
		}
	case reaper.Waiting:
		say("waiting for %s", list(e.Count, e.Processes))
	case reaper.Killing:
		say("the grace period of %v is over: killing %s", i.grace, list(e.Count, e.Processes))
	case reaper.GaveUp:
		say("could not be killed: %s", refusals(e.Processes))
	case reaper.LeaderEnded:
		i.childEnded(e)
	}
}

// childEnded decides what becomes of those whom the child has left. If it ended
// well, they are what it was to start: daemons. If not, whoever supervises the
// container has to hear of it.
func (i *initProcess) childEnded(e reaper.Event) {
	if e.Count == 0 {
		return
	}
	code, sig := i.code(e.Status), i.rewritten(unix.SIGTERM)
	begins := false
	if code != 0 {
		begins, _ = i.begin(unix.SIGTERM, sig)
	}
	if begins {
		say("%s: %s, with %v to end for %s", i.command[0], inWords(e.Status), i.grace, list(e.Count, e.Processes))
		i.reaper.Stop(sig, i.grace, false)
		return
	}
	say("%s: %s; waiting for %s", i.command[0], inWords(e.Status), list(e.Count, e.Processes))
}

// code is what the child's end is to us.
func (i *initProcess) code(status unix.WaitStatus) int {
	code := status.ExitStatus()
	if status.Signaled() {
		code = exitBySignal + int(status.Signal())
	}
	if i.ok[code] {
		return 0
	}
	return code
}

func (i *initProcess) exitCode(r reaper.Result) int {
	code := exitLeftBehind
	if r.LeaderEnded {
		code = i.code(r.Status)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.stopping.IsZero():
	case r.Left > 0:
		say("%s left behind after %v, exit code %d", count(r.Left), i.took(), code)
	case r.Killed > 0:
		say("all ended after %v, %d of them killed, exit code %d", i.took(), r.Killed, code)
	default:
		say("all ended after %v, exit code %d", i.took(), code)
	}
	return code
}

func (i *initProcess) took() time.Duration { return time.Since(i.stopping).Round(time.Millisecond) }

func inWords(status unix.WaitStatus) string {
	if status.Signaled() {
		return "ended by " + signame.Name(status.Signal())
	}
	return fmt.Sprintf("ended with %d", status.ExitStatus())
}

// maxListed is how many processes a line names.
const maxListed = 20

func refusals(processes []reaper.Process) string {
	var texts []string
	for _, p := range processes[:min(len(processes), maxListed)] {
		reason := "still there"
		if p.Errno != 0 {
			reason = p.Errno.Error()
		}
		texts = append(texts, fmt.Sprintf("%d %s (%s)", p.Pid, p.Command, reason))
	}
	text := strings.Join(texts, ", ")
	if more := len(processes) - len(texts); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

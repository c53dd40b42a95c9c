package main

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/reaper"
	"github.com/gracefulgo/shutdown/internal/signame"
)

// An initProcess forwards signals to its descendants.
type initProcess struct {
	config
	child  int
	reaper *reaper.Reaper

	mu         sync.Mutex   // protects what follows
	stopping   time.Time    // when the stop started; zero: it has not
	terminated bool         // the signal that SIGTERM is forwarded as has been sent
	forwarded  map[int]bool // the numbers of the signals that have been sent
}

// received forwards a signal, rewritten if the flags say so. One that asks to stop
// starts the grace period.
func (i *initProcess) received(sig unix.Signal) {
	switch sig {
	case unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU: // about our own stderr and terminal
		return
	}
	send := i.rewritten(sig)
	i.sending(send)
	if !asksToStop(sig) && !asksToStop(send) {
		i.reaper.Forward(send, i.childOnly)
		return
	}
	// A preStop hook, or another init, may send SIGTERM as well. The second would end
	// a trap handler that is cleaning up. Any other signal was sent on purpose.
	starts, repeated := i.start(sig, send)
	switch {
	case starts:
		say("received %s: sending %s to %s, and SIGKILL after %v", signame.Name(sig), signame.Name(send), i.target(), i.grace)
		i.reaper.Stop(send, i.grace, i.childOnly)
	case !repeated:
		i.reaper.Forward(send, i.childOnly)
	}
}

func asksToStop(sig unix.Signal) bool {
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

// sending remembers that sig is forwarded.
func (i *initProcess) sending(sig unix.Signal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.forwarded[int(sig)] = true
}

// start reports whether sig starts the stop, and whether it is a SIGTERM after one
// that has been forwarded.
func (i *initProcess) start(sig, send unix.Signal) (starts, repeated bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopping.IsZero() {
		i.stopping, starts = time.Now(), true
	}
	repeated = i.terminated && sig == unix.SIGTERM
	i.terminated = i.terminated || send == i.rewritten(unix.SIGTERM)
	return starts, repeated
}

// report handles the reaper's events.
func (i *initProcess) report(e reaper.Event) {
	switch e.Kind {
	case reaper.Signalled:
		if len(e.Processes) > 0 {
			say("%s could not be sent to %s", signame.Name(e.Signal), list(len(e.Processes), e.Processes))
		}
	case reaper.Waiting:
		say("waiting for %s", list(e.Count, e.Processes))
	case reaper.Killing:
		say("the grace period of %v is over: killing %s", i.grace, list(e.Count, e.Processes))
	case reaper.GaveUp:
		say("could not kill %s", list(e.Count, e.Processes))
	case reaper.LeaderEnded:
		i.childEnded(e)
	}
}

// childEnded decides what happens to the processes that the child has left. If it
// succeeded, they are daemons that it was to start. If not, the container has to
// exit, so that its supervisor sees the failure.
func (i *initProcess) childEnded(e reaper.Event) {
	if e.Count == 0 {
		return
	}
	sig := i.rewritten(unix.SIGTERM)
	starts := false
	if code := exitCode(e.Status); code != 0 && !i.ok[code] {
		starts, _ = i.start(unix.SIGTERM, sig)
	}
	if starts {
		say("%s: %s; sending %s, and SIGKILL after %v, to %s", i.command[0], statusText(e.Status), signame.Name(sig), i.grace, list(e.Count, e.Processes))
		i.sending(sig)
		i.reaper.Stop(sig, i.grace, false)
		return
	}
	say("%s: %s; waiting for %s", i.command[0], statusText(e.Status), list(e.Count, e.Processes))
}

// exitCode returns the exit code for a status, as a shell does.
func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return exitBySignal + int(status.Signal())
	}
	return status.ExitStatus()
}

// result returns the exit code, and why it is not that of the command. The package
// documentation has the rule.
func (i *initProcess) result(r reaper.Result) (code int, why string) {
	const killed = exitBySignal + int(unix.SIGKILL)
	own := exitCode(r.Status)
	ok := i.ok[own] && r.Killed == 0
	if own != 0 && !ok && !i.forwarded[own-exitBySignal] {
		return own, ""
	}
	for _, status := range r.Outlived {
		switch code := exitCode(status); {
		case code == 0, i.forwarded[code-exitBySignal]:
		case code == killed && r.Killed > 0:
			return killed, ": processes had to be killed"
		default:
			return code, ": that of a process that the command has left"
		}
	}
	switch {
	case r.Killed > 0: // but not reaped
		return killed, ": processes had to be killed"
	case ok:
		return 0, ""
	}
	return own, ""
}

// ended logs the end and returns the exit code.
func (i *initProcess) ended(r reaper.Result) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	code, why := i.result(r)
	switch {
	case i.stopping.IsZero() && why == "":
	case i.stopping.IsZero():
		say("all processes exited, exit code %d%s", code, why)
	case r.Killed > 0:
		say("all processes exited after %v, %d of them killed, exit code %d%s", i.took(), r.Killed, code, why)
	default:
		say("all processes exited after %v, exit code %d%s", i.took(), code, why)
	}
	return code
}

func (i *initProcess) took() time.Duration { return time.Since(i.stopping).Round(time.Millisecond) }

func statusText(status unix.WaitStatus) string {
	if status.Signaled() {
		return "signal " + signame.Name(status.Signal())
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

// list returns "2 processes: 7 ./app (1.2s), 9 sleep 600 (0s)".
func list(n int, processes []reaper.Process) string {
	text := fmt.Sprintf("%d processes", n)
	if n == 1 {
		text = "1 process"
	}
	if len(processes) > 0 {
		text += ": " + reaper.List(n, processes)
	}
	return text
}

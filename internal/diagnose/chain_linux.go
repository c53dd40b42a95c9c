package diagnose

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// longestChain bounds the number of processes that are examined. Commands that are meant to
// pass signals on are not nested that deep.
const longestChain = 16

// swallowsTerm examines the processes from PID 1, which is what a container runtime signals,
// down to this one, and reports one that does not pass SIGTERM on. If there is an unknown
// program between them (go test, a supervisor, a terminal) it reports nothing: that program
// may pass the signal on, or may be what is to be stopped.
func (me Process) swallowsTerm() (Finding, bool) {
	if me.PID == 1 || conductOf(me.args("1")) == unknown { // the only cost for most programs
		return Finding{}, false
	}
	self, ok := me.status("self")
	if !ok || self.pid != me.PID { // /proc is that of another PID namespace
		return Finding{}, false
	}
	var chain []status
	below := self
	for pid := self.ppid; ; {
		args := me.args(strconv.Itoa(pid))
		p, ok := me.status(strconv.Itoa(pid)) // there is none of 0, which is the parent after docker exec
		p.conduct, p.command = conductOf(args), readable(args)
		if !ok || p.conduct == unknown || len(chain) == longestChain {
			return Finding{}, false
		}
		chain = append(chain, p)
		if pid == 1 {
			// A shell does not create sessions. A process with a session of its own was
			// inherited by it: from docker exec, in a development container whose shell
			// only waits.
			if p.conduct == shell && below.session != p.session {
				return Finding{}, false
			}
			break
		}
		pid, below = p.ppid, p
	}
	slices.Reverse(chain)

	first := slices.IndexFunc(chain, func(p status) bool { return p.conduct != passesOn })
	if first < 0 || !me.swallows(chain[first]) {
		return Finding{}, false
	}
	culprit, f := chain[first], Finding{Remedy: remedy(chain[first], me.args("self"))}
	if first == 0 {
		f.Problem = fmt.Sprintf("PID 1 is %s, which does not pass SIGTERM on", culprit.command)
	} else {
		f.Problem = fmt.Sprintf("PID 1 is %s, and %s below it ends on SIGTERM without waiting for this program", chain[0].command, culprit.command)
	}
	below = append(chain, self)[first+1]
	if other := me.waitsFor(culprit, below); other != nil {
		f.Problem += " while it runs " + readable(me.args(strconv.Itoa(other.pid)))
		f.Remedy = "set its trap before that, or " + f.Remedy
	}
	for _, p := range chain[first+1:] {
		if p.conduct != passesOn && me.swallows(p) {
			f.Problem += fmt.Sprintf("; nor does %s below that pass it on", p.command)
		}
	}
	return f, true
}

func remedy(culprit status, self []string) string {
	switch {
	case culprit.conduct == dies:
		return "build the program, and start what was built"
	case culprit.conduct == shell && len(self) > 0:
		return fmt.Sprintf("end the script with `exec %s`, or use the exec form of CMD", readable(self[:1]))
	default:
		return "start the program itself, or put an init such as shutdown-init in front"
	}
}

// swallows reports whether p does not pass SIGTERM on. A shell may start this program before
// it sets its trap (./app & trap ... TERM; wait), so a shell that is running is given a
// moment, and is not reported if it is still running then.
func (me Process) swallows(p status) bool {
	const term = 1 << (syscall.SIGTERM - 1)
	if p.conduct == dies {
		return true
	}
	for range 5 {
		if (p.caught|p.ignored)&term != 0 {
			return false
		}
		if p.state == 'S' { // it waits, for this program or for the process between them
			return true
		}
		time.Sleep(100 * time.Microsecond)
		var ok bool
		if p, ok = me.status(strconv.Itoa(p.pid)); !ok {
			return false
		}
	}
	return false
}

// waitsFor returns the command that the shell sh runs in the foreground after it has started
// below in the background, if there is one: sh may set its trap when that command has ended. A
// shell without job control makes the commands that it starts in the background ignore SIGINT.
func (me Process) waitsFor(sh, below status) *status {
	const interrupt = 1 << (syscall.SIGINT - 1)
	if sh.conduct != shell || below.ignored&interrupt == 0 {
		return nil
	}
	for _, pid := range me.childrenOf(strconv.Itoa(sh.pid)) {
		if p, ok := me.status(pid); ok && p.ppid == sh.pid && p.state != 'Z' && p.ignored&interrupt == 0 {
			return &p
		}
	}
	return nil
}

// givenChild reports a child that this program has not started: a script started it in the
// background and then called exec for this program. If this program is PID 1, it gets SIGTERM and
// the child does not, and is killed when this program ends. A child that reads the output
// of this program has to live that long and is not reported (exec > >(tee log); exec ./app).
func (me Process) givenChild() (Finding, bool) {
	children := me.children()
	if len(children) == 0 {
		return Finding{}, false
	}
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil { // then Go has no pidfds either, and its children cannot be recognized
		return Finding{}, false
	}
	_ = unix.Close(self)
	ours := me.started()
	for _, pid := range children {
		p, ok := me.status(pid)
		if !ok || p.ppid != me.PID || p.state == 'Z' || slices.Contains(ours, pid) || me.readsOurOutput(pid) {
			continue
		}
		return Finding{
			Problem: fmt.Sprintf("this program is PID 1 and was given a child, %s (pid %s): nobody passes SIGTERM on to it or reaps it", readable(me.args(pid)), pid),
			Remedy:  "run the script that starts both under an init that stops the whole tree, such as shutdown-init",
		}, true
	}
	return Finding{}, false
}

// unreaped returns a child that has ended and was not reaped, if the program is PID 1, which
// inherits all orphans of the container.
func (me Process) unreaped() *status {
	for _, pid := range me.children() {
		if p, ok := me.status(pid); ok && p.ppid == me.PID && p.state == 'Z' {
			return &p
		}
	}
	return nil
}

// stillUnreaped looks at child again, after a while, because each child is a zombie for a
// moment.
func (me Process) stillUnreaped(child *status) (Finding, bool) {
	pid := strconv.Itoa(child.pid)
	if p, ok := me.status(pid); !ok || p.state != 'Z' || p.ppid != me.PID {
		return Finding{}, false
	}
	return Finding{
		Problem: fmt.Sprintf("this program is PID 1 and does not reap its children: %s (pid %s) has ended and is still there", child.name, pid),
		Remedy:  "run it under an init: docker run --init, tini, shutdown-init",
	}, true
}

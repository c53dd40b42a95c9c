package reaper

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A member is a descendant of this process, as /proc showed it.
type member struct {
	pid, parent int
	group       int    // the process group
	start       uint64 // in clock ticks since boot: PIDs are reused, a PID with its start time is not. 0: hidden
	state       byte   // R, S, D, T (stopped), Z (zombie) ...
	name        string // the first 15 bytes of its program's name
	caught      uint64 // the signals from 1 to 31 that it has a handler for, or blocks (signalfd)
	forked      bool   // it has not executed a program since it was forked
}

// age returns how long the member has been running.
func (m member) age() time.Duration {
	if m.start == 0 {
		return 0
	}
	return time.Duration(max(0, int64(now())-int64(m.start))) * time.Second / ticksPerSecond
}

// commandLine returns the command line of the member, cut to a line. It may block: the
// kernel reads it from the member's memory, whose lock a thread that hangs in a page
// fault may hold.
func (m member) commandLine() string {
	const most = 80
	line, _ := os.ReadFile("/proc/" + strconv.Itoa(m.pid) + "/cmdline")
	command := strings.TrimSpace(strings.Map(printable, string(line)))
	if command == "" { // a zombie, or in the middle of exec
		return m.shortName()
	}
	if len(command) > most {
		command = strings.ToValidUTF8(command[:most-3], "") + "..."
	}
	return command
}

// shortName returns the name of the member's program. It does not block.
func (m member) shortName() string { return "[" + strings.Map(printable, m.name) + "]" }

func (m member) alive() bool { return m.state != 'Z' && m.state != 'X' }

// handles reports whether the member has a handler for sig, or may have one.
func (m member) handles(sig unix.Signal) bool { return sig > 31 || m.caught>>(sig-1)&1 != 0 }

// isNewborn reports whether the member may still have its parent's signal handlers.
// A shell resets them in the processes that it forks. A signal that arrives before
// is lost: the handler records it in memory that exec then replaces. On a busy
// machine it may take long until a process runs for the first time. A process that
// has waited for anything since it was forked has most likely reset them.
func (m member) isNewborn(sig unix.Signal) bool {
	return m.forked && sig <= 31 && m.handles(sig) && m.state == 'R' && m.age() < newbornBound && !m.hasWaited()
}

// newbornBound is the age at which a member that has executed no program is taken to
// have its own handlers.
const newbornBound = 2 * time.Second

// hasWaited reports whether the member has ever given up its processor voluntarily.
func (m member) hasWaited() bool {
	n, _ := strconv.ParseUint(m.status("voluntary_ctxt_switches"), 10, 64)
	return n > 0
}

// pends reports whether sig is pending, as it is for a stopped member.
func (m member) pends(sig unix.Signal) bool {
	pending, _ := strconv.ParseUint(m.status("ShdPnd"), 16, 64)
	return pending>>(sig-1)&1 != 0
}

// status returns the value of a line of /proc/PID/status.
func (m member) status(name string) string {
	all, _ := os.ReadFile("/proc/" + strconv.Itoa(m.pid) + "/status")
	_, line, _ := strings.Cut(string(all), "\n"+name+":\t")
	line, _, _ = strings.Cut(line, "\n")
	return line
}

type identity struct {
	pid   int
	start uint64
}

func (m member) identity() identity { return identity{m.pid, m.start} }

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

package reaper

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Member is a process below this one, as /proc showed it.
type Member struct {
	Pid, Parent int
	Group       int    // the process group
	Start       uint64 // clock ticks since boot; a pid comes back, a pid and its start do not. 0: hidden
	State       byte   // R, S, D, T (stopped), Z (zombie) ...
	name        string // the first 15 bytes of its program's
	caught      uint64 // the signals from 1 to 31 that it has a handler for, or blocks, to fetch them
	forked      bool   // and has not executed a program since
}

// Age is how long the member has been running.
func (m Member) Age() time.Duration {
	if m.Start == 0 {
		return 0
	}
	return time.Duration(max(0, int64(now())-int64(m.Start))) * time.Second / ticksPerSecond
}

// Command is what the member was started as, cut to a line. It may block: the
// kernel reads that from the member's memory, and waits for whoever has locked
// the map of it, which a thread that hangs in a page fault may have.
func (m Member) Command() string {
	const most = 80
	line, _ := os.ReadFile("/proc/" + strconv.Itoa(m.Pid) + "/cmdline")
	command := strings.TrimSpace(strings.Map(printable, string(line)))
	if command == "" { // a zombie, a kernel thread, or in the middle of exec
		return m.Name()
	}
	if len(command) > most {
		command = strings.ToValidUTF8(command[:most-3], "") + "..."
	}
	return command
}

// Name is all that can be said of the member without waiting for it.
func (m Member) Name() string { return "[" + strings.Map(printable, m.name) + "]" }

func (m Member) alive() bool { return m.State != 'Z' && m.State != 'X' }

// handles says whether the member has a handler for sig, or may have one.
func (m Member) handles(sig unix.Signal) bool { return sig > 31 || m.caught>>(sig-1)&1 != 0 }

// isNewborn says whether the member may still have its parent's handlers, which a
// shell takes from what it has forked. A signal that comes before that is lost:
// the handler only notes it, and what notes it is overwritten by the program that
// is executed. On a busy machine it may be long until a process runs first. Who
// has waited for anything since has most likely come further.
func (m Member) isNewborn(sig unix.Signal) bool {
	return m.forked && sig <= 31 && m.handles(sig) && m.State == 'R' && m.Age() < newbornBound && !m.hasWaited()
}

// newbornBound is the age at which one that has executed no program has the
// handlers that it is to have.
const newbornBound = 2 * time.Second

// hasWaited says whether the member has ever given up its processor by itself.
func (m Member) hasWaited() bool {
	n, _ := strconv.ParseUint(m.status("voluntary_ctxt_switches"), 10, 64)
	return n > 0
}

// pends says whether sig waits for a member that is stopped.
func (m Member) pends(sig unix.Signal) bool {
	pending, _ := strconv.ParseUint(m.status("ShdPnd"), 16, 64)
	return pending>>(sig-1)&1 != 0
}

// status returns a line of /proc/PID/status.
func (m Member) status(name string) string {
	all, _ := os.ReadFile("/proc/" + strconv.Itoa(m.Pid) + "/status")
	_, line, _ := strings.Cut(string(all), "\n"+name+":\t")
	line, _, _ = strings.Cut(line, "\n")
	return line
}

// showsCaught says whether /proc tells what is caught. In gVisor that is 0 for
// everybody; and we have handlers, because Go has.
func showsCaught() bool {
	var buf [1024]byte
	self, _ := readStat(strconv.Itoa(unix.Getpid()), buf[:])
	return self.caught != 0
}

type identity struct {
	pid   int
	start uint64
}

func (m Member) identity() identity { return identity{m.Pid, m.Start} }

// CheckProc returns an error if what is below this process cannot be found.
// The pids of a /proc that came along from another PID namespace are those of
// other processes here: what it shows must not be signalled.
func CheckProc() error {
	self, err := os.Readlink("/proc/self")
	if err != nil {
		return err
	}
	if self != strconv.Itoa(os.Getpid()) {
		return fmt.Errorf("/proc is that of another PID namespace, in which this process is %s: %w", self, unix.ESRCH)
	}
	return nil
}

// Below returns every process below pid, zombies too, parents before their
// children. It reads the stat of every process there is, because
// /proc/PID/task/TID/children needs a kernel option. The picture is not taken
// at one instant: who forks meanwhile, or loses its parent, may be missing from
// it, so whoever needs all of them looks again.
func Below(pid int) ([]Member, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	children := make(map[int][]Member, len(names))
	var buf [1024]byte
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		if m, ok := readStat(name, buf[:]); ok {
			children[m.Parent] = append(children[m.Parent], m)
		}
	}
	below := children[pid]
	// A pid that was used twice while the picture was taken could close a
	// circle; each parent is therefore followed once.
	delete(children, pid)
	for i := 0; i < len(below); i++ {
		below = append(below, children[below[i].Pid]...)
		delete(children, below[i].Pid)
	}
	return below, nil
}

// readStat reads /proc/NAME/stat; ok is false if there is no such process. Plain
// system calls, because an os.File each takes three times as long.
func readStat(name string, buf []byte) (m Member, ok bool) {
	fd, err := unix.Open("/proc/"+name+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return m, false
	}
	n, err := unix.Read(fd, buf)
	_ = unix.Close(fd)
	if err != nil || n <= 0 {
		return m, false
	}
	// "pid (comm) state ppid ...", and comm may have blanks and parentheses. The
	// start time is the 22nd field, which is the 20th behind comm, the flags are the
	// 9th, what is blocked the 32nd, and what is caught the 34th.
	line := buf[:n]
	begin, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	fields := bytes.Fields(line[end+1:])
	if begin < 0 || len(fields) < 32 {
		return m, false
	}
	m.name = string(line[begin+1 : end])
	m.Pid, _ = strconv.Atoi(name)
	m.State = fields[0][0]
	if m.State == 'Z' && string(fields[17]) != "1" {
		m.State = 'S' // its first thread has ended, others have not
	}
	m.Parent, _ = strconv.Atoi(string(fields[1]))
	m.Group, _ = strconv.Atoi(string(fields[2]))
	const forkNoExec = 0x40 // PF_FORKNOEXEC
	flags, _ := strconv.ParseUint(string(fields[6]), 10, 64)
	m.forked = flags&forkNoExec != 0
	blocked, _ := strconv.ParseUint(string(fields[29]), 10, 64)
	caught, _ := strconv.ParseUint(string(fields[31]), 10, 64)
	m.caught = blocked | caught
	m.Start, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return m, err == nil
}

// ticksPerSecond is USER_HZ, which is the same on every architecture that Go
// runs on.
const ticksPerSecond = 100

// now is the time in the unit of Member.Start.
func now() uint64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return uint64(ts.Nano() / (int64(time.Second) / ticksPerSecond))
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

package reaper

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// CheckProc returns an error if /proc does not show the descendants of this process.
// If it is that of another PID namespace, its PIDs belong to other processes here,
// which must not be signalled.
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

// descendants returns all descendants of pid, zombies too, parents before their
// children. It reads the stat of every process, because
// /proc/PID/task/TID/children needs a kernel option. This takes a while: a process
// that is forked, or becomes an orphan, in the meantime may be missing, so a caller
// that needs all of them has to call it again.
func descendants(pid int) ([]member, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	children := make(map[int][]member, len(names))
	var buf [1024]byte
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		if m, ok := readStat(name, buf[:]); ok {
			children[m.parent] = append(children[m.parent], m)
		}
	}
	below := children[pid]
	// A PID that was reused in the meantime could make a cycle, so the children of
	// each are added once.
	delete(children, pid)
	for i := 0; i < len(below); i++ {
		below = append(below, children[below[i].pid]...)
		delete(children, below[i].pid)
	}
	return below, nil
}

// readStat reads /proc/NAME/stat; ok is false if there is no such process. It uses
// system calls, because an os.File takes three times as long.
func readStat(name string, buf []byte) (m member, ok bool) {
	fd, err := unix.Open("/proc/"+name+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return m, false
	}
	n, err := unix.Read(fd, buf)
	_ = unix.Close(fd)
	if err != nil || n <= 0 {
		return m, false
	}
	// "pid (comm) state ppid ...", where comm may have spaces and parentheses. Behind
	// comm, fields[0] is the third field: the flags are the 9th, the start time is the
	// 22nd, the blocked signals are the 32nd and the caught signals the 34th.
	line := buf[:n]
	begin, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	fields := bytes.Fields(line[end+1:])
	if begin < 0 || len(fields) < 32 {
		return m, false
	}
	m.name = string(line[begin+1 : end])
	m.pid, _ = strconv.Atoi(name)
	m.state = fields[0][0]
	if m.state == 'Z' && string(fields[17]) != "1" {
		m.state = 'S' // its first thread has exited, others have not
	}
	m.parent, _ = strconv.Atoi(string(fields[1]))
	m.group, _ = strconv.Atoi(string(fields[2]))
	const forkNoExec = 0x40 // PF_FORKNOEXEC
	flags, _ := strconv.ParseUint(string(fields[6]), 10, 64)
	m.forked = flags&forkNoExec != 0
	blocked, _ := strconv.ParseUint(string(fields[29]), 10, 64)
	caught, _ := strconv.ParseUint(string(fields[31]), 10, 64)
	m.caught = blocked | caught
	m.start, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return m, err == nil
}

// showsCaught reports whether /proc shows which signals are caught. In gVisor it
// shows none, not even those that the Go runtime catches in this process.
func showsCaught() bool {
	var buf [1024]byte
	self, _ := readStat(strconv.Itoa(unix.Getpid()), buf[:])
	return self.caught != 0
}

// ticksPerSecond is USER_HZ, which is the same on every architecture that Go
// supports.
const ticksPerSecond = 100

// now returns the time in the unit of member.start.
func now() uint64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return uint64(ts.Nano() / (int64(time.Second) / ticksPerSecond))
}

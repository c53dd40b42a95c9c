package reaper

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// procHides reports whether /proc was mounted with hidepid. Then it does not show
// every process: not one whose program this user may not read, for example, nor one
// that runs as another user.
func procHides() bool {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == "/proc" && strings.Contains(line, "hidepid=") {
			return true
		}
	}
	return false
}

// hidden returns the children of this process that are alive and not in shown.
// Their descendants become children of this process when they have exited. Only the
// PID is known of a process that /proc hides; it is not reused until we reap it.
// Without the kernel's CONFIG_PROC_CHILDREN no hidden process is found.
func hidden(shown []member) []member {
	known := make(map[int]bool, len(shown))
	for _, m := range shown {
		known[m.pid] = true
	}
	const tasks = "/proc/self/task/"
	threads, _ := os.ReadDir(tasks)
	var found []member
	var buf [1024]byte
	for _, thread := range threads {
		children, _ := os.ReadFile(tasks + thread.Name() + "/children")
		for field := range strings.FieldsSeq(string(children)) {
			pid, err := strconv.Atoi(field)
			if err != nil || known[pid] || isZombie(pid) {
				continue
			}
			// A child that is visible became ours after shown was read. It keeps its
			// identity, or it would get the signal a second time.
			if m, ok := readStat(field, buf[:]); ok {
				if m.alive() {
					found = append(found, m)
				}
				continue
			}
			group, _ := unix.Getpgid(pid)
			found = append(found, member{
				pid: pid, parent: unix.Getpid(), group: group, state: '?', name: "hidden",
				caught: ^uint64(0), // not known
			})
		}
	}
	return found
}

// isZombie reports whether a child has exited. It does not reap it.
func isZombie(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err != nil || info.Signo != 0
}

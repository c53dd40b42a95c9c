package reaper

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// procHides says whether /proc was mounted with hidepid. Then it does not show to
// everybody who runs a program that its user may not read, say, or has become
// another user.
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

// hidden are those children of this process that are alive and not among the
// shown. What is below them comes to us when they have ended. Nothing is known of
// those that /proc hides but their pids, which are their own until we reap them.
// Without the kernel's CONFIG_PROC_CHILDREN there are none to be found.
func hidden(shown []Member) []Member {
	known := make(map[int]bool, len(shown))
	for _, m := range shown {
		known[m.Pid] = true
	}
	const tasks = "/proc/self/task/"
	threads, _ := os.ReadDir(tasks)
	var found []Member
	var buf [1024]byte
	for _, thread := range threads {
		children, _ := os.ReadFile(tasks + thread.Name() + "/children")
		for field := range strings.FieldsSeq(string(children)) {
			pid, err := strconv.Atoi(field)
			if err != nil || known[pid] || hasEnded(pid) {
				continue
			}
			// One that came to us after the others were looked up is shown by now. It
			// must not be taken for somebody else later, and have the signal twice.
			if m, ok := readStat(field, buf[:]); ok {
				if m.alive() {
					found = append(found, m)
				}
				continue
			}
			group, _ := unix.Getpgid(pid)
			found = append(found, Member{
				Pid: pid, Parent: unix.Getpid(), Group: group, State: '?', name: "hidden",
				caught: ^uint64(0), // for all we know
			})
		}
	}
	return found
}

// hasEnded says whether a child is one that nobody has reaped yet.
func hasEnded(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err != nil || info.Signo != 0
}

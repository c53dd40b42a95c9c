//go:build !processgroup

package process_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// As a subreaper this process becomes the parent of every process that a tree's
// reaper loses.
func init() {
	beforeTests = func() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }
}

// A mark is an environment variable that only the processes of one tree have. The
// tests find members by it, and so do not depend on how the package finds them.
type mark string

var marks atomic.Int64

func marked(cmd *exec.Cmd) mark {
	m := mark(fmt.Sprintf("PROCESS_TEST_MARK=%d-%d", os.Getpid(), marks.Add(1)))
	cmd.Env = append(cmd.Environ(), string(m))
	return m
}

// A stat is a line of /proc/PID/stat.
type stat struct {
	pid, parent int
	state       string
}

func stats(t testing.TB) []stat {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	var all []stat
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if s, ok := statOf(pid); ok {
			all = append(all, s)
		}
	}
	return all
}

func statOf(pid int) (stat, bool) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, false
	}
	fields := strings.Fields(string(line[bytes.LastIndexByte(line, ')')+1:]))
	parent, _ := strconv.Atoi(fields[1])
	return stat{pid, parent, fields[0]}, true
}

// alive returns the PIDs of the processes that have the mark.
func (m mark) alive(t testing.TB) []int {
	t.Helper()
	var pids []int
	for _, s := range stats(t) {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.pid))
		if err == nil && s.state != "Z" && bytes.Contains(append(env, 0), append([]byte(m), 0)) {
			pids = append(pids, s.pid)
		}
	}
	return pids
}

// strays counts the children of this process. Since it is a subreaper, every orphan
// of a tree becomes its child. A tree that has exited leaves none, not even its
// reaper.
func strays(t *testing.T) (alive, zombies int) {
	t.Helper()
	for _, s := range stats(t) {
		switch {
		case s.parent != os.Getpid():
		case s.state == "Z":
			zombies++
		default:
			alive++
		}
	}
	return alive, zombies
}

// becomes waits until there are that many members. Reading all of /proc takes
// processor time that the members need to start, so it pauses four times as long.
func (m mark) becomes(t testing.TB, atLeast int) {
	t.Helper()
	for by := time.Now().Add(soon); ; {
		looked := time.Now()
		n := len(m.alive(t))
		if n >= atLeast {
			return
		}
		require.True(t, time.Now().Before(by), "%d of %d members", n, atLeast)
		time.Sleep(max(50*time.Millisecond, 4*time.Since(looked)))
	}
}

// sweep kills and reaps what is left of a tree that was started without the package.
// The test has no other child while it runs.
func (m mark) sweep(t testing.TB) {
	t.Helper()
	for {
		for _, pid := range m.alive(t) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		for _, s := range stats(t) { // a process that forks and exits again and again may not be seen above
			if s.parent == os.Getpid() {
				_ = unix.Kill(s.pid, unix.SIGKILL)
			}
		}
		var err error
		for pid := 1; pid > 0; {
			pid, err = unix.Wait4(-1, nil, unix.WNOHANG, nil)
		}
		if errors.Is(err, unix.ECHILD) {
			return
		}
	}
}

// reaperOf returns the PID of the reaper: the parent of the tree's root.
func reaperOf(t *testing.T, root int) int {
	t.Helper()
	s, ok := statOf(root)
	require.True(t, ok)
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", s.parent))
	require.NoError(t, err)
	require.Equal(t, "shutdown-reaper\n", string(comm))
	return s.parent
}

// unprivileged makes cmd run as a user without other processes, so that
// RLIMIT_NPROC limits its forks. It does not apply to root.
func unprivileged(cmd *exec.Cmd) *exec.Cmd {
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 61_723, Gid: 61_723}}
	}
	return cmd
}

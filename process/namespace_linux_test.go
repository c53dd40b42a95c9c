//go:build !processgroup

package process_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/process"
)

func init() {
	childScenarios["starts in a namespace"] = func() {
		tree, err := process.Start(exec.Command("true"), process.Options{Logger: quiet})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("started:", tree.Wait())
	}
}

// The PIDs in such a /proc belong to other processes here.
func TestAProcOfAnotherPIDNamespaceIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a PID namespace")
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	for script, want := range map[string]string{
		`exec "$0"`:                             "/proc is not that of this PID namespace: start /usr/bin/true: no such process\n",
		`mount -t proc proc /proc && exec "$0"`: "started: <nil>\n",
	} {
		cmd := exec.Command("sh", "-c", script, exe)
		cmd.Env = append(os.Environ(), childEnv+"=starts in a namespace", "PATH=/usr/bin:/bin")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err)
		require.Equal(t, want, string(out))
	}
}

// With hidepid, /proc does not show a user the processes of programs that the user
// may not read.
func TestProcessesHiddenByProcAreStopped(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a /proc of its own")
	}
	self := copyOfSelf(t, "self", 0o755)
	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	text, err := os.ReadFile(sleep)
	require.NoError(t, err)
	unreadable := filepath.Join(filepath.Dir(self), "hidden")
	require.NoError(t, os.WriteFile(unreadable, text, 0o711))
	for script, want := range map[string]string{
		`exec "$HIDDEN" 600`:                                  "stopped",
		`"$HIDDEN" 600 & wait`:                                "stopped",
		`setsid "$HIDDEN" 600 & wait`:                         "stopped",
		`trap '' TERM; exec "$HIDDEN" 600`:                    "killed",
		`trap '' TERM; (setsid "$HIDDEN" 600 &); sleep 600`:   "killed",
		`trap '' TERM; setsid "$HIDDEN" 600 & exec sleep 600`: "killed",
	} {
		cmd := exec.Command("sh", "-c", `mount -t proc -o hidepid=2 proc /proc && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$0"`, self)
		cmd.Env = append(os.Environ(), childEnv+"=program", "HIDDEN="+unreadable, "PROCESS_TEST_SCRIPT=echo up; "+script)
		if want == "stopped" {
			cmd.Env = append(cmd.Env, "PROCESS_TEST_GRACE="+soon.String())
		}
		m := marked(cmd)
		cmd.Dir, cmd.Stderr = "/", os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool { return m.runs(t, unreadable) }, soon, 10*time.Millisecond)
		_, err = io.WriteString(in, "\n")
		require.NoError(t, err)
		said := rest(t, out)
		require.Contains(t, said, "state: "+want+"\n", script)
		require.Equal(t, want == "stopped", strings.Contains(said, "stopped: <nil>\n"), "%s", said)
		require.Empty(t, m.alive(t))
		require.NoError(t, cmd.Wait())
	}
}

// runs reports whether a member runs the program.
func (m mark) runs(t *testing.T, program string) bool {
	for _, pid := range m.alive(t) {
		if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); exe == program {
			return true
		}
	}
	return false
}

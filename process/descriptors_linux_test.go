//go:build !processgroup

package process_test

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/process"
)

// descriptors counts the open descriptors of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(open)
}

func TestNoDescriptorIsLeftOpen(t *testing.T) {
	// The garbage collector closes the handle of a cmd.Process that is not referenced
	// any more. It would also close a file that the package forgot to close.
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	cases := map[string]func(){
		"ended": func() {
			cmd := exec.Command("cat")
			cmd.Stdin, cmd.Stdout = bytes.NewReader([]byte("x")), new(bytes.Buffer)
			tree, err := process.Start(cmd, process.Options{Logger: quiet})
			require.NoError(t, err)
			require.NoError(t, tree.Wait())
		},
		"stopped, with pipes": func() {
			cmd := exec.Command("sleep", "600")
			_, err := cmd.StdinPipe()
			require.NoError(t, err)
			_, err = cmd.StdoutPipe()
			require.NoError(t, err)
			tree, err := process.Start(cmd, process.Options{Logger: quiet})
			require.NoError(t, err)
			require.NoError(t, tree.Stop(soonContext(t)))
			require.Error(t, tree.Wait())
		},
		"without Wait": func() {
			tree, err := process.Start(exec.Command("sleep", "600"), process.Options{Logger: quiet})
			require.NoError(t, err)
			require.NoError(t, tree.Stop(soonContext(t)))
		},
		"not found": func() {
			cmd := exec.Command("/nonexistent")
			cmd.Stdin, cmd.Stdout = bytes.NewReader(nil), new(bytes.Buffer)
			_, err := cmd.StderrPipe()
			require.NoError(t, err)
			_, err = process.Start(cmd, process.Options{Logger: quiet})
			require.Error(t, err)
		},
	}
	const times = 10
	for name, run := range cases {
		run() // the first run may open descriptors that stay open, such as the runtime's epoll
		before := descriptors(t)
		for range times {
			run()
		}
		handles := times // of cmd.Process
		if name == "not found" {
			handles = 0
		}
		require.Eventually(t, func() bool { return descriptors(t) <= before+handles }, soon, 10*time.Millisecond, name)
	}
}

// The child has none of the descriptors that are open in the program and in the
// reaper.
func TestTheChildInheritsTheDescriptorsThatExecGivesIt(t *testing.T) {
	const script = "cd /proc/$$/fd && echo *"
	want, err := exec.Command("sh", "-c", script).Output()
	require.NoError(t, err)
	other, _ := start(t, shell("echo up; sleep 600"), process.Options{}) // has a socket to its reaper
	var out bytes.Buffer
	cmd := exec.Command("sh", "-c", script)
	cmd.Stdout = &out
	tree, err := process.Start(cmd, process.Options{Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, tree.Wait())
	require.Equal(t, string(want), out.String())
	require.NoError(t, other.Stop(soonContext(t)))
}

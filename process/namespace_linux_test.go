//go:build !processgroup

package process_test

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

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

// The pids that such a /proc shows are those of others here.
func TestAProcOfAnotherPIDNamespaceIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a PID namespace")
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	for script, want := range map[string]string{
		`exec "$0"`:                             "look into this PID namespace's /proc to start /usr/bin/true: no such process\n",
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

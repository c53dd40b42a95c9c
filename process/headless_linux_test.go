//go:build !processgroup

package process_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/process"
)

func init() {
	if os.Getenv(childEnv) != "headless" {
		return
	}
	runtime.LockOSThread() // main is on the first thread, and stays there
	childScenarios["headless"] = func() {
		go func() {
			pid := os.Getpid()
			for s, ok := statOf(pid); !ok || s.state != "Z"; s, ok = statOf(pid) {
				time.Sleep(time.Millisecond)
			}
			fmt.Println("up")
			select {}
		}()
		_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
	}
}

// In /proc a process whose first thread has exited looks like a zombie.
func TestAProcessWhoseFirstThreadHasExitedIsStopped(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	for _, script := range []string{`exec "$EXE"`, `setsid "$EXE" & wait`} {
		cmd := exec.Command("bash", "-c", script)
		cmd.Env = append(os.Environ(), "EXE="+exe, childEnv+"=headless")
		tree, _ := start(t, cmd, process.Options{Grace: time.Second})
		_ = tree.Stop(soonContext(t)) // on the signal, or not
		alive, zombies := strays(t)
		require.Zero(t, alive+zombies)
		require.NotEqual(t, process.Survived, tree.State())
	}
}

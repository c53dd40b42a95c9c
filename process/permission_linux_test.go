//go:build !processgroup

package process_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/testclock"
	"github.com/gracefulgo/shutdown/process"
)

const nobody = 65534

func init() {
	// A member that becomes another user, as su and many daemons do.
	childScenarios["becomes root"] = func() {
		if err := syscall.Setuid(0); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("up")
		time.Sleep(scenarioBound)
	}
	childScenarios["stops what it may"] = func() {
		self, member := os.Args[0], os.Args[1]
		if os.Getuid() == 0 {
			fmt.Println("this must not run as root:", self)
			return
		}
		cmd := shell(`trap '' TERM; sleep 600 & setsid sleep 600 & export ` + childEnv + `="becomes root"; "$MEMBER"`)
		cmd.Env = append(os.Environ(), "MEMBER="+member)
		out, _ := cmd.StdoutPipe()
		tree, err := process.Start(cmd, process.Options{Grace: 200 * time.Millisecond, Logger: quiet})
		if err != nil {
			fmt.Println(err)
			return
		}
		_, _ = io.ReadFull(out, make([]byte, 3))
		err = tree.Stop(context.Background())
		state := tree.State()
		// EPERM is reported without waiting the five seconds that SIGKILL may take.
		if waited := testclock.Awake(func() { _ = tree.Kill() }); waited > 3*time.Second { // its error is checked below
			fmt.Println("Kill waited for a process that it may not kill:", waited)
		}
		var survivors *process.SurvivorsError
		fmt.Println(errors.As(err, &survivors), errors.Is(err, os.ErrPermission), state)
		again := tree.Kill()
		fmt.Println(errors.As(again, &survivors), errors.As(tree.Wait(), &survivors), len(survivors.Survivors))
		fmt.Println(survivors.Survivors[0].Pid)
		fmt.Println(err)
	}
}

// copyOfSelf copies this binary to where other users may execute it.
func copyOfSelf(t *testing.T, name string, mode os.FileMode) string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	text, err := os.ReadFile(exe)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, text, 0o755))
	require.NoError(t, os.Chmod(path, mode))
	return path
}

func TestProcessesThatMayNotBeKilledAreListed(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a member that its owner may not signal")
	}
	self, member := copyOfSelf(t, "self", 0o755), copyOfSelf(t, "member", 0o755|os.ModeSetuid)
	cmd := exec.Command(self, member)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), childEnv + "=stops what it may"}
	m := marked(cmd)
	defer m.sweep(t)
	cmd.Dir, cmd.Stderr = "/", os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.Output()
	require.NoError(t, err)
	t.Logf("%s", out)
	var survivor int
	_, err = fmt.Sscanf(string(out), "true true survived\ntrue true 1\n%d", &survivor)
	require.NoError(t, err)
	require.Contains(t, string(out), fmt.Sprintf("1 process could not be ended: %d %s (operation not permitted)", survivor, member))
	require.Equal(t, []int{survivor}, m.alive(t), "a process that cannot be killed keeps no other process alive")
}

package postmortem

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAProcessIsToldFromOthersByItsStart(t *testing.T) {
	me := thisRun()
	require.True(t, isAlive(me))
	require.True(t, me.is(thisRun()))
	earlier := me
	earlier.Start--
	require.False(t, isAlive(earlier), "its pid was used again")
	before := me
	before.BootID = "another"
	require.False(t, isAlive(before))

	// A name that looks like what comes after it.
	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	program, err := os.ReadFile(sleep)
	require.NoError(t, err)
	name := filepath.Join(t.TempDir(), "a) Z 1 (b")
	require.NoError(t, os.WriteFile(name, program, 0o700)) //nolint:gosec // to be run
	cmd := exec.Command(name, "60")
	cmd.Args[0] = "sleep" // which busybox goes by
	require.NoError(t, cmd.Start())
	child := Run{BootID: me.BootID, PID: cmd.Process.Pid, Start: startTime(cmd.Process.Pid)}
	require.NotZero(t, child.Start)
	require.True(t, isAlive(child))
	require.NoError(t, cmd.Process.Kill())
	require.Eventually(t, func() bool { return !isAlive(child) }, 50*time.Second, time.Millisecond, "a zombie is dead")
	require.Error(t, cmd.Wait())
}

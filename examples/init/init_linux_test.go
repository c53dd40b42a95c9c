package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheCleanUpRunsOnlyWithExecOrShutdownInit(t *testing.T) {
	if os.Getuid() != 0 && exec.Command("unshare", "--pid", "--fork", "--mount-proc", "--map-root-user", "true").Run() != nil {
		t.Skip("neither root nor allowed to make a user namespace")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // with a cold build cache
	defer cancel()
	run := exec.CommandContext(ctx, "./run.sh")
	run.Cancel = func() error { return run.Process.Signal(syscall.SIGTERM) } // it has to clean up
	run.WaitDelay = 10 * time.Second
	out, err := run.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("\n%s", out)

	for image, want := range map[string]string{ // got SIGTERM, cleaned up, exit code
		"exec form":                   "yes yes 0",
		"shell form, more after it":   "no no 137",
		"start script without exec":   "no no 137",
		"start script, shutdown-init": "yes yes 0",
	} {
		_, row, ok := strings.Cut(string(out), "\n"+image+"  ")
		require.True(t, ok, image)
		require.Equal(t, want, strings.Join(strings.Fields(row)[:3], " "), image)
	}
	_, said, _ := strings.Cut(string(out), "What the library said")
	require.Contains(t, said, `PID 1 is sh -c app; echo "the app has ended", which does not pass SIGTERM on`)
	require.Contains(t, said, "start.sh, which does not pass SIGTERM on: end the script with `exec app`")
	require.Equal(t, 2, strings.Count(said, "PID 1 is"), "nothing else is wrong")
}

//go:build linux

package daemon

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestADaemonIsReadyAndStops(t *testing.T) {
	asked := 0
	d, err := Start(t.Context(), exec.Command("sleep", "1h"), filepath.Join(t.TempDir(), "log"), func(context.Context) error {
		if asked++; asked < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 3, asked)
	require.NoError(t, d.Stop(syscall.SIGTERM))
	require.Equal(t, "signal: terminated", d.cmd.ProcessState.String())
	require.NoError(t, d.Stop(syscall.SIGTERM)) // it has ended
}

func TestADaemonThatEndsIsAnErrorThatNamesItsLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	_, err := Start(t.Context(), exec.Command("false"), log, func(context.Context) error { return errors.New("not yet") })
	require.EqualError(t, err, "false has ended: exit status 1; see "+log)
}

func TestTheEndOfTheContextStopsADaemonThatIsNotReady(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cmd := exec.Command("sleep", "1h")
	_, err := Start(ctx, cmd, filepath.Join(t.TempDir(), "log"), func(context.Context) error {
		cancel(errors.New("enough"))
		return errors.New("not yet")
	})
	require.ErrorContains(t, err, "enough\nnot yet")
	require.Equal(t, "signal: killed", cmd.ProcessState.String())
}

package systemd_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/systemd"
)

// manager_linux_test.go asks a real systemd.

func TestOutsideOfSystemdTheGracePeriodIsUnknown(t *testing.T) {
	for name, pid := range map[string]string{"no variable": "", "a child of the service": strconv.Itoa(os.Getppid())} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SYSTEMD_EXEC_PID", pid)
			t.Setenv("MANAGERPID", "1")
			t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
			got, err := systemd.GracePeriod(t.Context())
			require.NoError(t, err)
			require.Zero(t, got)
		})
	}
}

func TestASystemdThatCannotBeAskedIsAnError(t *testing.T) {
	t.Setenv("SYSTEMD_EXEC_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("MANAGERPID", "1")
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	got, err := systemd.GracePeriod(t.Context())
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "systemd: TimeoutStopSec: ")
	require.Zero(t, got)
}

func TestASystemdThatDoesNotAnswerIsAskedUntilTheContextEnds(t *testing.T) {
	dir, err := os.MkdirTemp("", "n") // t.TempDir may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Mkdir(filepath.Join(dir, "systemd"), 0o700))
	silent, err := net.Listen("unix", filepath.Join(dir, "systemd", "private"))
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })
	t.Setenv("SYSTEMD_EXEC_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("MANAGERPID", "1")
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Run("its own limit", func(t *testing.T) {
		defer systemd.SetAskLimit(100 * time.Millisecond)()
		_, err := systemd.GracePeriod(context.Background())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.EqualError(t, err, "systemd: TimeoutStopSec: no answer within 100ms: context deadline exceeded")
	})
	for name, limit := range map[string]time.Duration{"a limit": 50 * time.Millisecond, "an end that is past": 0} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			_, err := systemd.GracePeriod(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.EqualError(t, err, "systemd: TimeoutStopSec: context deadline exceeded")
			require.GreaterOrEqual(t, time.Since(began), limit)
		})
	}
}

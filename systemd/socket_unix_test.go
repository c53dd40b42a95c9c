//go:build unix

package systemd_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/systemd"
)

// notifySocket is a NOTIFY_SOCKET that nobody reads but the test.
func notifySocket(t *testing.T) *net.UnixConn {
	t.Helper()
	dir, err := os.MkdirTemp("", "n") // t.TempDir may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { socket.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return socket
}

func read(t *testing.T, socket *net.UnixConn) string {
	t.Helper()
	require.NoError(t, socket.SetReadDeadline(time.Now().Add(soon)))
	buf := make([]byte, 5000)
	n, err := socket.Read(buf)
	require.NoError(t, err)
	return string(buf[:n])
}

func TestNotifySendsToTheSocketOfTheEnvironment(t *testing.T) {
	socket := notifySocket(t)
	m := newManager(t, shutdown.Config{GracePeriod: time.Minute})
	systemd.Notify(m, nil)
	go func() { _ = m.Wait() }()
	require.Equal(t, "READY=1\nSTATUS=ready", read(t, socket))
	require.NotEmpty(t, os.Getenv("NOTIFY_SOCKET"), "other parts of the program may send WATCHDOG=1")
	hold := make(chan struct{})
	m.On(shutdown.Leave, "hold", func(context.Context) error { <-hold; return nil })
	m.Begin(nil)
	message := read(t, socket)
	require.Regexp(t, `^STOPPING=1\nSTATUS=in leave, .*\nEXTEND_TIMEOUT_USEC=\d+$`, message)
	for !strings.Contains(message, "hook hold (") { // the hook has not started yet
		message = read(t, socket)
		require.Regexp(t, `^STATUS=in leave, .*\nEXTEND_TIMEOUT_USEC=\d+$`, message)
	}
	close(hold)
	require.NoError(t, m.Wait())
}

func TestWithoutNotifySocketNotifyDoesNothing(t *testing.T) {
	m := newManager(t, shutdown.Config{})
	systemd.Notify(m, func(context.Context) error { panic("called") })
	require.Zero(t, notifiers())
}

// A systemd that does not read must not delay the shutdown, and the goroutine ends.
func TestABlockedSocketDoesNotDelayTheShutdown(t *testing.T) {
	blocked := func(t *testing.T) *shutdown.Manager {
		socket := notifySocket(t)
		full, err := net.DialUnix("unixgram", nil, socket.LocalAddr().(*net.UnixAddr))
		require.NoError(t, err)
		t.Cleanup(func() { full.Close() })
		for err == nil {
			require.NoError(t, full.SetWriteDeadline(time.Now().Add(20*time.Millisecond)))
			_, err = full.Write([]byte("X=1"))
		}
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		return newManager(t, shutdown.Config{GracePeriod: 2 * time.Second})
	}
	t.Run("Notify", func(t *testing.T) {
		m := blocked(t)
		systemd.Notify(m, nil)
		m.Begin(nil)
		require.NoError(t, m.Wait())
		for end := time.Now().Add(soon); notifiers() > 0; time.Sleep(time.Millisecond) {
			require.True(t, time.Now().Before(end), "the goroutine goes on")
		}
	})
	t.Run("control: SdNotify in a hook", func(t *testing.T) {
		m := blocked(t)
		m.On(shutdown.Leave, "STOPPING=1", func(context.Context) error {
			_, err := daemon.SdNotify(false, daemon.SdNotifyStopping)
			return err
		})
		m.Begin(nil)
		require.ErrorIs(t, m.Wait(), shutdown.ErrTimeout)
	})
}

// notifiers counts the goroutines of Notify.
func notifiers() int {
	buf := make([]byte, 1<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), "systemd.(*notifier).run(")
}

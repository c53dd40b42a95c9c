package listener

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/loopback"
)

// The thread may be suspended for longer than the gap just when SYNs are dropped. Then
// the gap has ended before take looks at the queue again.
func TestAConnectionThatArrivesBeforeTheGapEndsIsAccepted(t *testing.T) {
	ln, err := net.Listen("tcp", loopback.Addr())
	require.NoError(t, err)
	defer ln.Close()
	socket, err := ln.(*net.TCPListener).SyscallConn()
	require.NoError(t, err)
	dial := func() {
		c, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
	}
	dial()
	var fds []int
	require.NoError(t, socket.Control(func(fd uintptr) {
		fds, err = take(int(fd), time.Nanosecond, func() bool {
			dial()
			return true
		})
	}))
	require.NoError(t, err)
	require.Len(t, fds, 2)
	for _, fd := range fds {
		require.NoError(t, unix.Close(fd))
	}
}

// stop has accepted a connection and then failed, for lack of file descriptors, and the
// accept loop waits before it tries again, as that of net/http does after EMFILE. If Drain
// closed the listener then, the client would get a reset.
func TestDrainWaitsForWhatStopHasAcceptedBeforeItFailed(t *testing.T) {
	l, err := Listen(t.Context(), "tcp", loopback.Addr())
	require.NoError(t, err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, l.socket.Control(func(fd uintptr) {
		fds, err := acceptAll(int(fd), nil)
		require.NoError(t, err)
		require.Len(t, fds, 1)
		l.pending.add(os.NewFile(uintptr(fds[0]), ""))
	}))
	left, _ := l.left(time.Time{})
	require.Equal(t, "at least 1 connection in its queue", left)
	conn, err := l.Accept()
	require.NoError(t, err)
	defer conn.Close()
	left, _ = l.left(time.Time{})
	require.Empty(t, left)
}

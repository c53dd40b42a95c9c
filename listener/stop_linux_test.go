package listener

import (
	"net"
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

package listener

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/loopback"
)

// The thread of the one who takes may be taken away for longer than the window, just
// when SYNs are dropped: the window is over then before it has begun.
func TestWhoComesBeforeTheLastLookIsTakenHoweverShortTheWindow(t *testing.T) {
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

package listener_test

import (
	"net"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/listener"
)

func TestASharedListenerLeavesTheQueueToItsOtherOwner(t *testing.T) {
	mine, theirs := twoOwners(t)
	ln := listener.Shared(mine)
	clients := dialMany(t, theirs.Addr(), 10)
	require.NoError(t, ln.Drain(soonContext(t)))
	_, err := ln.Accept()
	require.ErrorIs(t, err, net.ErrClosed)

	requireUnchanged(t, theirs)
	clients = append(clients, dialMany(t, theirs.Addr(), 10)...)
	serve(t, theirs, 1)
	require.Zero(t, lost(clients))
}

func TestNewDoesNotChangeASocketWithAnotherOwner(t *testing.T) {
	mine, theirs := twoOwners(t)
	ln := listener.New(mine)
	early := dialMany(t, theirs.Addr(), 10)
	s := serve(t, ln, 1)
	require.NoError(t, ln.Drain(soonContext(t)))
	require.Zero(t, lost(early))
	served, _ := s.wait()
	require.Equal(t, 10, served)

	late := dialMany(t, theirs.Addr(), 10)
	requireUnchanged(t, theirs)
	serve(t, theirs, 1)
	require.Zero(t, lost(late))
}

// twoOwners returns two listeners that share one socket.
func twoOwners(t *testing.T) (mine, theirs net.Listener) {
	if runtime.GOOS == "windows" {
		t.Skip("sockets cannot be duplicated here")
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false) // a multipath socket accepts no filter anyway
	ln, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	f, err := ln.(*net.TCPListener).File()
	require.NoError(t, err)
	defer f.Close()
	theirs, err = net.FileListener(f)
	require.NoError(t, err)
	t.Cleanup(func() { theirs.Close() })
	return ln, theirs
}

package listener_test

import (
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/listener"
)

func TestAUnixSocketPathCanBeBoundOnceTheDrainHasStarted(t *testing.T) {
	path := socketPath(t)
	ln := listen(t, "unix", path)
	clients := dialMany(t, ln.Addr(), 5)
	drained := startDrain(t, ln)

	successor := listen(t, "unix", path)
	others := dialMany(t, successor.Addr(), 5)
	serve(t, ln, 1)
	require.NoError(t, <-drained)
	require.Zero(t, lost(clients))

	others = append(others, dialMany(t, successor.Addr(), 5)...)
	serve(t, successor, 1)
	require.Zero(t, lost(others), "the path still belongs to the successor")
}

func TestAUnixSocketPathThatASuccessorHasBoundIsNotRemoved(t *testing.T) {
	for name, stop := range map[string]func(*listener.Listener) error{
		"by Drain": func(ln *listener.Listener) error { return ln.Drain(soonContext(t)) },
		"by Close": (*listener.Listener).Close,
	} {
		t.Run(name, func(t *testing.T) {
			path := socketPath(t)
			ln := listen(t, "unix", path)
			require.NoError(t, os.Remove(path))
			successor := listen(t, "unix", path)
			require.NoError(t, stop(ln))
			clients := dialMany(t, successor.Addr(), 5)
			serve(t, successor, 1)
			require.Zero(t, lost(clients))
		})
	}
}

func TestASharedUnixSocketKeepsItsPath(t *testing.T) {
	path := socketPath(t)
	inner, err := net.Listen("unix", path)
	require.NoError(t, err)
	require.NoError(t, listener.Shared(inner).Drain(t.Context()))
	_, err = os.Stat(path)
	require.NoError(t, err)

	own := socketPath(t)
	require.NoError(t, listen(t, "unix", own).Close())
	_, err = os.Stat(own)
	require.ErrorIs(t, err, os.ErrNotExist)
}

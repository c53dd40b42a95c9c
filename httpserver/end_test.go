package httpserver

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAConnectionIsShutDownOnlyIfItIsStillSilent(t *testing.T) {
	client, server := connected(t)
	endIfSilent(server, false, false, func() bool { return false }) // a request has just been read
	_, err := server.Write([]byte("answer"))
	require.NoError(t, err)

	endIfSilent(server, false, false, func() bool { return true })
	all, err := io.ReadAll(client)
	require.NoError(t, err)
	require.Equal(t, "answer", string(all))
}

// connected returns the two ends of a connection.
func connected(t *testing.T) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	client, err = net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	require.NoError(t, client.SetDeadline(time.Now().Add(30*time.Second)))
	for server == nil || server.RemoteAddr().String() != client.LocalAddr().String() { // another program may dial a port that it has used before
		server, err = ln.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { server.Close() })
	}
	return client, server
}

// A wrapper may have SyscallConn although its connection has no socket.
func TestAConnectionWithoutASocketIsClosed(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	require.NoError(t, client.SetReadDeadline(time.Now().Add(30*time.Second)))
	endIfSilent(noSocket{server}, false, false, func() bool { return false })
	go func() { _, _ = server.Write([]byte("answer")) }()
	answer := make([]byte, 6)
	_, err := io.ReadFull(client, answer)
	require.NoError(t, err)
	endIfSilent(noSocket{server}, false, false, func() bool { return true })
	_, err = client.Read(answer)
	require.ErrorIs(t, err, io.EOF)
}

type noSocket struct{ net.Conn }

func (noSocket) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }

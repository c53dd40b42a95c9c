package httpserver

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAConnectionIsEndedOnlyIfItIsStillSilent(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	var server net.Conn
	for server == nil || server.RemoteAddr().String() != client.LocalAddr().String() { // others may dial what was their port
		server, err = ln.Accept()
		require.NoError(t, err)
		defer server.Close()
	}

	endIfSilent(server, func() bool { return false }) // its request has just been read
	_, err = server.Write([]byte("answer"))
	require.NoError(t, err)

	endIfSilent(server, func() bool { return true })
	require.NoError(t, client.SetReadDeadline(time.Now().Add(30*time.Second)))
	all, err := io.ReadAll(client)
	require.NoError(t, err)
	require.Equal(t, "answer", string(all))
}

package load

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAConnectionWasIdleSinceTheKernelReceivedTheLastResponse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = ln.Close() }()
	client, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	server, err := ln.Accept()
	require.NoError(t, err)
	defer func() { _ = server.Close() }()

	const response = "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n"
	_, err = server.Write([]byte(response))
	require.NoError(t, err)
	const unread = 50 * time.Millisecond
	time.Sleep(unread) // the client has no processor
	c := &monitoredConn{Conn: client, silence: new(longest)}
	_, err = c.Read(make([]byte, len(response)))
	require.NoError(t, err)
	c.answered()
	_, err = server.Write(make([]byte, alert)) // it closes the connection
	require.NoError(t, err)
	_, err = c.Read(make([]byte, alert))
	require.NoError(t, err)
	c.begin()
	_, err = c.Write([]byte("request"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, c.idleBefore(), unread-5*time.Millisecond) // the kernel's clock has a resolution of up to 4 ms
}

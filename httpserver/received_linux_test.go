package httpserver_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown"
)

// With HTTP/1 on a socket, reads are not counted, but the kernel knows whether a client
// has sent part of a request. Such a connection is not closed after 50 ms, as silent ones
// are.
func TestTheDrainWaitsForTheRestOfAPartialRequest(t *testing.T) {
	for name, before := range map[string]bool{"the first": false, "one more": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for try := 1; !partialRequest(t, before); try++ {
				require.Less(t, try, 20, "a connection with a partial request is closed like a silent one")
			}
		})
	}
}

// partialRequest reports false if the connection was closed. On a slow machine the
// partial request may have had its 500 ms.
func partialRequest(t *testing.T, before bool) bool {
	m := manager(t, shutdown.Config{})
	conns := make(chan net.Conn, 2)
	srv := handle(func(http.ResponseWriter, *http.Request) {})
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		conns <- c
		return ctx
	}
	addr := start(t, m, srv)
	partial := dialRaw(t, addr)
	server := within(t, "the connection", conns)
	if before {
		partial.get("/")
		require.Equal(t, 200, partial.response().status)
		// The kernel has the times of sending and receiving in milliseconds.
		eventually(t, "the response is old", func() bool { return tcpInfo(t, server).Last_data_sent > 10 })
	}
	silent := dialRaw(t, addr)
	had := tcpInfo(t, server).Bytes_received
	partial.send("GET / HTTP/1.1\r\n")
	eventually(t, "net/http has read it", func() bool { return tcpInfo(t, server).Bytes_received > had && unread(t, server) == 0 })
	ended := wait(m)
	m.Begin(nil)
	silent.requireEnd()
	require.NoError(t, partial.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	_, err := partial.r.ReadByte()
	if errors.Is(err, os.ErrDeadlineExceeded) { // it has not been closed with the silent one
		require.NoError(t, partial.SetReadDeadline(time.Now().Add(soon)))
		if _, err = io.WriteString(partial, "Host: test\r\n\r\n"); err == nil {
			_, err = http.ReadResponse(partial.r, nil)
		}
	}
	require.NoError(t, within(t, "the end", ended))
	return err == nil
}

func tcpInfo(t *testing.T, c net.Conn) (info *unix.TCPInfo) {
	t.Helper()
	onSocket(t, c, func(fd int) (err error) {
		info, err = unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		return err
	})
	return info
}

// unread returns how many bytes are in the socket's receive buffer.
func unread(t *testing.T, c net.Conn) (n int) {
	t.Helper()
	onSocket(t, c, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.SIOCINQ)
		return err
	})
	return n
}

func onSocket(t *testing.T, c net.Conn, f func(fd int) error) {
	t.Helper()
	socket, err := c.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	var failed error
	require.NoError(t, socket.Control(func(fd uintptr) { failed = f(int(fd)) }))
	require.NoError(t, failed)
}

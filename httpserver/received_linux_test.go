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

// On a socket nothing is counted, but the kernel knows whether a client is in the
// middle of a request: it is not closed after 50 ms, as a silent one is.
func TestHalfARequestOnASocketIsWaitedFor(t *testing.T) {
	for name, before := range map[string]bool{"the first": false, "one more": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for try := 1; !halfARequest(t, before); try++ {
				require.Less(t, try, 20, "half a request is closed like none")
			}
		})
	}
}

// halfARequest reports false if the connection was closed, as it may be if the
// machine is so slow that half a request has had its 500 ms.
func halfARequest(t *testing.T, before bool) bool {
	m := manager(t, shutdown.Config{})
	conns := make(chan net.Conn, 2)
	srv := handle(func(http.ResponseWriter, *http.Request) {})
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		conns <- c
		return ctx
	}
	addr := start(t, m, srv)
	speaking := dialRaw(t, addr)
	server := within(t, "the connection", conns)
	if before {
		speaking.get("/")
		require.Equal(t, 200, speaking.response().status)
		// The kernel tells what comes from what was sent by the millisecond.
		eventually(t, "the answer is old", func() bool { return tcpInfo(t, server).Last_data_sent > 10 })
	}
	silent := dialRaw(t, addr)
	had := tcpInfo(t, server).Bytes_received
	speaking.send("GET / HTTP/1.1\r\n")
	eventually(t, "net/http has read it", func() bool { return tcpInfo(t, server).Bytes_received > had && unread(t, server) == 0 })
	ended := wait(m)
	m.Begin(nil)
	silent.requireEnd()
	require.NoError(t, speaking.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	_, err := speaking.r.ReadByte()
	if errors.Is(err, os.ErrDeadlineExceeded) { // so it has not been closed with the silent one
		require.NoError(t, speaking.SetReadDeadline(time.Now().Add(soon)))
		if _, err = io.WriteString(speaking, "Host: test\r\n\r\n"); err == nil {
			_, err = http.ReadResponse(speaking.r, nil)
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

// unread is what the kernel has and nobody has read.
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

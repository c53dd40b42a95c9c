//go:build unix

package grpcserver

// This file is the same in httpserver and grpcserver, like the file that it tests.

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReadable(t *testing.T) {
	dial := func(network, addr string) (client, server net.Conn) {
		ln, err := net.Listen(network, addr)
		require.NoError(t, err)
		defer ln.Close()
		client, err = net.Dial(network, ln.Addr().String())
		require.NoError(t, err)
		server, err = ln.Accept()
		require.NoError(t, err)
		return client, server
	}
	dir, err := os.MkdirTemp("", "") // the path of t.TempDir is too long for a socket
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	conns := map[string]func() (client, server net.Conn){
		"TCP":  func() (client, server net.Conn) { return dial("tcp", "127.0.0.1:0") },
		"Unix": func() (client, server net.Conn) { return dial("unix", filepath.Join(dir, "socket")) },
		"embedded": func() (client, server net.Conn) {
			client, server = dial("tcp", "127.0.0.1:0")
			return client, struct{ *net.TCPConn }{server.(*net.TCPConn)}
		},
	}
	events := map[string]struct {
		happens func(client, server net.Conn) error
		want    bool
	}{
		"nothing":               {func(_, _ net.Conn) error { return nil }, false},
		"bytes":                 {func(client, _ net.Conn) error { _, err := client.Write([]byte("x")); return err }, true},
		"the end of the stream": {func(client, _ net.Conn) error { return client.Close() }, true},
		"the socket is closed":  {func(_, server net.Conn) error { return server.Close() }, false},
		"bytes that were read": {func(client, server net.Conn) error {
			_, err := client.Write([]byte("x"))
			require.NoError(t, err)
			_, err = server.Read(make([]byte, 1))
			return err
		}, false},
	}
	for kind, connect := range conns {
		for event, test := range events {
			t.Run(kind+", "+event, func(t *testing.T) {
				client, server := connect()
				defer client.Close()
				defer server.Close()
				require.NoError(t, test.happens(client, server))
				if test.want {
					require.Eventually(t, func() bool { return readable(server) }, 30*time.Second, time.Millisecond)
				} else {
					require.False(t, readable(server))
				}
			})
		}
	}
	t.Run("no socket", func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		defer server.Close()
		require.False(t, readable(server))
		require.False(t, control(server, func(int) { t.Error("called") }))
	})
}

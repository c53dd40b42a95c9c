//go:build unix

package grpcserver

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The last write may have filled the socket to the brim.
func TestWhereThereIsNoRoomOurGoAwayWaits(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	server, err := ln.Accept()
	require.NoError(t, err)
	defer server.Close()
	f := &framed{Conn: server, conn: &conn{raw: &raw{Conn: server}}}
	_, err = f.Write(frame(frameSettings, 0, 12))
	require.NoError(t, err)

	// That a write has no time is not enough: it may be the machine that has none.
	for full := false; !full; full = !writable(server) {
		require.NoError(t, server.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
		for err = nil; err == nil; {
			_, err = server.Write(make([]byte, 1<<20))
		}
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	require.NoError(t, server.SetWriteDeadline(time.Time{}))
	require.False(t, f.tell())
	require.True(t, f.untold(), "later")
	go func() { _, _ = io.Copy(io.Discard, client) }()
	for deadline := time.Now().Add(20 * time.Second); !f.tell(); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "there is room again")
	}
}

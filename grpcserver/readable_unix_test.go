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
	var f *framed
	// That a write has no time is not enough: it may be the machine that has none,
	// to bring to the client what fits into its socket.
	for round := 0; ; round++ {
		require.Less(t, round, 100)
		f = &framed{Conn: server, conn: &conn{raw: &raw{Conn: server}}}
		require.NoError(t, server.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
		f.out.follow(frame(frameSettings, 0, 12), f.wroteLocked) // as if: there may be no room
		for err = nil; err == nil; {
			_, err = server.Write(make([]byte, 1<<20))
		}
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, server.SetWriteDeadline(time.Time{}))
		if writable(server) {
			continue
		}
		if told := f.tell(); !told || !writable(server) {
			require.False(t, told)
			break
		}
	}
	require.True(t, f.untold(), "later")
	go func() { _, _ = io.Copy(io.Discard, client) }()
	for deadline := time.Now().Add(50 * time.Second); !f.tell(); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "there is room again")
	}
}

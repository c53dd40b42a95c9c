//go:build unix

package httpserver

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// net/http has not read the bytes yet.
func TestAConnectionIsNotShutDownIfBytesHaveArrived(t *testing.T) {
	for name, countIO := range map[string]bool{"reads are counted": true, "the kernel is asked": false} {
		t.Run(name, func(t *testing.T) {
			client, server := connected(t)
			all := conns{countIO: countIO}
			info := all.find(all.add(server))
			info.state.Store(int32(http.StateIdle))
			require.False(t, readable(server))
			_, err := client.Write([]byte("request"))
			require.NoError(t, err)
			for deadline := time.Now().Add(30 * time.Second); !readable(server); time.Sleep(time.Millisecond) {
				require.True(t, time.Now().Before(deadline))
			}

			endIfSilent(server, false, false, func() bool { return true })
			require.NoError(t, info.close(new(linger), 0))
			request := make([]byte, 7)
			_, err = io.ReadFull(server, request)
			require.NoError(t, err)
			require.Equal(t, "request", string(request))
			_, err = server.Write([]byte("answer"))
			require.NoError(t, err)

			require.NoError(t, info.close(new(linger), 0))
			answer, err := io.ReadAll(client)
			require.NoError(t, err)
			require.Equal(t, "answer", string(answer))
		})
	}
}

// The response is in the kernel's buffer, and the client reads slowly. After a shutdown,
// the client's next packet would reset the connection.
func TestAConnectionIsNotShutDownWhileItsResponseIsUnacknowledged(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells what is unacknowledged")
	}
	for name, anyway := range map[string]bool{"the drain waits": false, "control: it is shut down anyway": true} {
		t.Run(name, func(t *testing.T) {
			client, server := connected(t)
			require.NoError(t, client.(*net.TCPConn).SetReadBuffer(64<<10))
			require.NoError(t, server.(*net.TCPConn).SetWriteBuffer(4<<20))
			sent, err := server.Write(make([]byte, 1<<20))
			require.NoError(t, err)
			require.Positive(t, endIfSilent(server, false, anyway, func() bool { return true }))
			_, err = client.Write([]byte("WINDOW_UPDATE"))
			require.NoError(t, err)
			got, err := io.Copy(io.Discard, io.LimitReader(client, int64(sent)))
			if anyway {
				require.Less(t, got, int64(sent))
				return
			}
			require.NoError(t, err)
			require.EqualValues(t, sent, got)
			_, err = io.ReadFull(server, make([]byte, 13))
			require.NoError(t, err)
			for deadline := time.Now().Add(30 * time.Second); endIfSilent(server, false, false, func() bool { return true }) > 0; time.Sleep(time.Millisecond) {
				require.True(t, time.Now().Before(deadline))
			}
			_, err = client.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

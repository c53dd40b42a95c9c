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

// Nobody has read it yet.
func TestAConnectionIsNotEndedIfSomethingHasCome(t *testing.T) {
	for name, counted := range map[string]bool{"counted": true, "as the kernel says": false} {
		t.Run(name, func(t *testing.T) {
			client, server := connected(t)
			all := conns{counted: counted}
			info := all.find(all.add(server))
			info.state.Store(int32(http.StateIdle))
			require.False(t, readable(server))
			_, err := client.Write([]byte("request"))
			require.NoError(t, err)
			for deadline := time.Now().Add(30 * time.Second); !readable(server); time.Sleep(time.Millisecond) {
				require.True(t, time.Now().Before(deadline))
			}

			endIfSilent(server, false, false, func() bool { return true })
			require.NoError(t, info.close(new(patience), 0))
			request := make([]byte, 7)
			_, err = io.ReadFull(server, request)
			require.NoError(t, err)
			require.Equal(t, "request", string(request))
			_, err = server.Write([]byte("answer"))
			require.NoError(t, err)

			require.NoError(t, info.close(new(patience), 0))
			answer, err := io.ReadAll(client)
			require.NoError(t, err)
			require.Equal(t, "answer", string(answer))
		})
	}
}

// Its answer is in the kernel, and its client slow: ended, the connection would be
// reset by the next word from the client, with the answer still on its way.
func TestAConnectionIsNotEndedWhileItsAnswerIsOnItsWay(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("nobody says here what is on its way")
	}
	for name, anyway := range map[string]bool{"it is waited for": false, "the control: ended all the same": true} {
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

//go:build unix

package httpserver

import (
	"io"
	"net/http"
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

			endIfSilent(server, func() bool { return true })
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

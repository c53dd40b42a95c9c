package load_test

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/load"
)

func TestAResetIsAnRST(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			addr := accept(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 1))
				_ = conn.(*net.TCPConn).SetLinger(0)
			})
			result := loseSome(t, load.Clients{Mode: mode, N: 2, Addr: addr})
			if mode == load.HTTP2 || mode == load.HTTP2Shared {
				// Opening a connection takes several writes, and the second may fail with
				// EPIPE.
				for range 20 {
					if result.Lost["RST"] > 0 {
						break
					}
					result = loseSome(t, load.Clients{Mode: mode, N: 2, Addr: addr})
				}
				require.Positive(t, result.Lost["RST"], "lost: %s", result.Kinds())
				return
			}
			requireOnlyKind(t, "RST", result)
		})
	}
}

func TestACloseDuringARequestIsAnEOF(t *testing.T) {
	for _, mode := range []load.Mode{load.NewConn, load.KeepAlive} {
		t.Run(mode.String(), func(t *testing.T) {
			addr := accept(t, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)) })
			requireOnlyKind(t, "EOF", loseSome(t, load.Clients{Mode: mode, N: 2, Addr: addr}))
		})
	}
}

// Two goroutines of net/http have to meet for it: one reads the end of an idle connection
// and closes it, the other writes.
func TestAWriteOnAConnectionThatTheClientHasClosedIsAClosed(t *testing.T) {
	conn, err := net.Dial("tcp", accept(t, func(net.Conn) {}))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\n")
	require.Equal(t, "closed", load.Kind(err))
}

func TestAPartialResponseIsAnEOF(t *testing.T) {
	addr := accept(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0-")
	})
	requireOnlyKind(t, "EOF", loseSome(t, load.Clients{N: 2, Addr: addr}))
}

func TestAStatusIsAKindOfLoss(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		echo(w, r)
	}, nil)
	requireOnlyKind(t, "503", loseSome(t, load.Clients{N: 2, Addr: srv.addr}))
}

func TestAWrongBodyIsLost(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, nil)
	requireOnlyKind(t, "other: wrong answer", loseSome(t, load.Clients{N: 2, Addr: srv.addr}))
}

func TestSilenceIsATimeout(t *testing.T) {
	addr := accept(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	for timeout := 300 * time.Millisecond; ; timeout *= 2 {
		result := loseSome(t, load.Clients{N: 2, Addr: addr, Timeout: timeout})
		if result.Lost["dial timeout"] > 0 && timeout < 10*time.Second {
			continue // the machine was too slow
		}
		requireOnlyKind(t, "timeout", result)
		return
	}
}

func requireOnlyKind(t *testing.T, kind string, result load.Result) {
	t.Helper()
	require.Positive(t, result.Lost[kind], "lost: %s", result.Kinds())
	require.Len(t, result.Lost, 1, "lost: %s", result.Kinds())
	require.Equal(t, result.Losses(), result.Lost[kind])
}

package httpserver_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// A session is a hijacked connection and what its handler has seen.
type session struct {
	client rawConn
	began  chan net.Conn
	ctxEnd chan error // the cause of the end of its context
}

// hijack starts a server that hijacks a connection, and its client. The handler returns
// when the client sends "close" or when its context ends.
func hijack(t testing.TB, connect func(*http.Server) rawConn) session {
	t.Helper()
	s := session{began: make(chan net.Conn, 1), ctxEnd: make(chan error, 1)}
	srv := handle(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		s.began <- conn
		stop := context.AfterFunc(r.Context(), func() {
			s.ctxEnd <- context.Cause(r.Context())
			conn.Close()
		})
		defer stop()
		_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n"))
		for {
			line, err := rw.ReadString('\n')
			if err != nil || line == "close\n" {
				return
			}
			_, _ = conn.Write([]byte(line))
		}
	})
	s.client = connect(srv)
	s.client.send("GET /session HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
	resp, err := http.ReadResponse(s.client.r, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	return s
}

func TestTheDrainWaitsForTheHandlerOfAHijackedConnection(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	s := hijack(t, func(srv *http.Server) rawConn { return dialRaw(t, start(t, m, srv)) })
	require.IsType(t, &net.TCPConn{}, within(t, "the handler", s.began))
	ended := wait(m)
	m.Begin(nil)
	waitRefused(t, s.client.RemoteAddr().String())
	for range 3 {
		s.client.send("hello\n")
		line, err := s.client.r.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "hello\n", line)
	}
	require.Equal(t, []string{"GET /session"}, taskNames(m))
	require.Equal(t, shutdown.Drain, m.Phase())
	require.Empty(t, ended)
	s.client.send("close\n")
	s.client.requireEnd()
	require.NoError(t, within(t, "the end", ended))
	require.Empty(t, s.ctxEnd)
}

func running(r shutdown.Report) (names []string) {
	for _, s := range r.Steps {
		if s.Running && s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return names
}

func TestTheContextOfAHijackedConnectionEndsWithWorkContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, network := manager(t, short), newPipeNet()
		s := hijack(t, func(srv *http.Server) rawConn {
			startOn(t, m, srv, network)
			return network.dialRaw(t)
		})
		require.EqualError(t, end(t, m), "shutdown: timed out: 1 task cut off: GET /session (2.88s)", "the server's hook returns no error")
		require.Equal(t, shortWork, m.Report().Took)
		require.ErrorIs(t, within(t, "the end of the context", s.ctxEnd), shutdown.ErrTimeout)
		s.client.requireEnd()
	})
}

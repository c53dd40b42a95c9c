package admin_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
)

// The client announces a body and does not send it. Without a read deadline net/http
// waits for it forever.
func TestAClientThatDoesNotSendItsBodyIsDisconnected(t *testing.T) {
	for _, request := range []string{"GET /livez", "GET /readyz", "POST /prestop", "GET /debug/shutdown"} {
		synctest.Test(t, func(t *testing.T) {
			m := manager(t, shutdown.Config{})
			ln := &pipeListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
			srv := &http.Server{Handler: admin.Handler(m, admin.Options{PreStop: true, Debug: true}), ReadHeaderTimeout: time.Second}
			go func() { _ = srv.Serve(ln) }()
			client, server := net.Pipe()
			ln.conns <- server
			start := time.Now()
			_, err := io.WriteString(client, request+" HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, bufio.NewReader(client)) // until the server closes it
			require.LessOrEqual(t, time.Since(start), 11*time.Second)
			require.NoError(t, srv.Close())
			_ = client.Close()
		})
	}
}

// A pipeListener accepts in-memory connections, which work with virtual time.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error { close(l.closed); return nil }

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

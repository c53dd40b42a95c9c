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

// A client announces a body and does not send it. Without a deadline for it
// net/http waits for good.
func TestAClientThatDoesNotSendItsBodyCostsNoConnection(t *testing.T) {
	for _, request := range []string{"GET /livez", "GET /readyz", "POST /prestop", "GET /debug/shutdown"} {
		synctest.Test(t, func(t *testing.T) {
			m := manager(t, shutdown.Config{})
			ln := &pipeListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
			srv := &http.Server{Handler: admin.Handler(m, admin.Options{PreStop: true, Debug: true}), ReadHeaderTimeout: time.Second}
			go func() { _ = srv.Serve(ln) }()
			client, server := net.Pipe()
			ln.conns <- server
			begun := time.Now()
			_, err := io.WriteString(client, request+" HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, bufio.NewReader(client)) // until it is closed
			require.LessOrEqual(t, time.Since(begun), 11*time.Second)
			require.NoError(t, srv.Close())
			_ = client.Close()
		})
	}
}

// A pipeListener hands out connections in memory, for which time can be
// virtual.
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

package httpserver_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// virtually is t.Run in virtual time.
func virtually(t *testing.T, name string, f func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// A network is a listener in memory, for time that is virtual.
type network struct {
	accepts chan net.Conn
	closed  chan struct{}
	once    *sync.Once
}

func serveInMemory(t *testing.T, m *shutdown.Manager, srv *http.Server) network {
	t.Helper()
	n := network{make(chan net.Conn), make(chan struct{}), new(sync.Once)}
	startOn(t, m, srv, n)
	return n
}

// A pipe is a connection that no map can have as a key, so its reads and writes
// are counted as those of TCP are.
type pipe struct {
	net.Conn
	_ func()
}

func (n network) Accept() (net.Conn, error) {
	select {
	case conn := <-n.accepts:
		return pipe{Conn: conn}, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

func (n network) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

func (n network) connect(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case n.accepts <- server:
		return client, nil
	case <-n.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (n network) dial(t *testing.T) rawConn {
	t.Helper()
	conn, err := n.connect(t.Context())
	require.NoError(t, err)
	return raw(t, conn)
}

func (n network) client(t *testing.T) *http.Client {
	return clientOf(t, &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return n.connect(ctx) },
	})
}

// answered sends the rest of a request, and reports whether it was answered, or
// else the connection ended.
func (c rawConn) answered(request string) bool {
	c.t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		require.ErrorIs(c.t, err, io.ErrClosedPipe)
		return false
	}
	require.Equal(c.t, reply{status: 200, close: true}, c.response())
	c.requireEnd()
	return true
}

func ms(list ...int) (ds []time.Duration) {
	for _, n := range list {
		ds = append(ds, time.Duration(n)*time.Millisecond)
	}
	return ds
}

// every is ms for each step up to the end.
func every(step, end int) (ds []time.Duration) {
	for n := step; n <= end; n += step {
		ds = append(ds, ms(n)...)
	}
	return ds
}

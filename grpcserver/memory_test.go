package grpcserver_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/grpcserver"
)

// A network is one in memory, for time that is virtual.
type network struct{ *bufconn.Listener }

func serveInMemory(t *testing.T, m *shutdown.Manager, srv *grpc.Server) network {
	ln := bufconn.Listen(1 << 16)
	require.NoError(t, grpcserver.StartListener(m, srv, ln))
	return network{ln}
}

// dial makes a connection that goes through wrap, if there is one.
func (n network) dial(t *testing.T, wrap func(net.Conn) net.Conn) *grpc.ClientConn {
	return dial(t, "memory", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		conn, err := n.DialContext(ctx)
		if err == nil && wrap != nil {
			conn = wrap(conn)
		}
		return conn, err
	}))
}

// mute is a connection whose client gets no time on its processor until a moment:
// it has connected, as the kernel does that, and does not write before.
type mute struct {
	net.Conn
	until time.Time
	once  sync.Once
}

func (c *mute) Write(b []byte) (int, error) {
	c.once.Do(func() { time.Sleep(time.Until(c.until)) })
	return c.Conn.Write(b)
}

func ms(list ...int) (ds []time.Duration) {
	for _, n := range list {
		ds = append(ds, time.Duration(n)*time.Millisecond)
	}
	return ds
}

package grpcserver_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/test/bufconn"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/grpcserver"
)

// virtually is t.Run in virtual time.
func virtually(t *testing.T, name string, f func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// A network is one in memory, for time that is virtual.
type network struct{ *bufconn.Listener }

func serveInMemory(t *testing.T, m *shutdown.Manager, srv *grpc.Server) network {
	t.Helper()
	ln := bufconn.Listen(1 << 16)
	require.NoError(t, grpcserver.StartListener(m, srv, ln))
	return network{ln}
}

// dial makes a client that reaches the server.
func (n network) dial(t *testing.T, opts ...grpc.DialOption) *grpc.ClientConn {
	return n.dialThrough(t, func(c net.Conn) net.Conn { return c }, opts...)
}

func (n network) dialThrough(t *testing.T, wrap func(net.Conn) net.Conn, opts ...grpc.DialOption) *grpc.ClientConn {
	return dial(t, "memory", append(opts, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		conn, err := n.DialContext(ctx)
		if err != nil {
			return nil, err
		}
		return wrap(conn), nil
	}))...)
}

func (n network) client(t *testing.T) pb.TestServiceClient {
	return pb.NewTestServiceClient(n.dial(t))
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

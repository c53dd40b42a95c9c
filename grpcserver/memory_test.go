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

	"github.com/gracefulgo/shutdown/grpcserver"
)

// virtually is t.Run with virtual time.
func virtually(t *testing.T, name string, f func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// A network is a listener in memory, for virtual time. gRPC's bufconn has timers with
// duration 0, which crash Go 1.26 in a synctest bubble under -race.
type network struct {
	accepts chan net.Conn
	closed  chan struct{}
	once    *sync.Once
}

func serveInMemory(t *testing.T, srv *grpcserver.Server) network {
	t.Helper()
	n := network{make(chan net.Conn), make(chan struct{}), new(sync.Once)}
	require.NoError(t, srv.Serve(n))
	return n
}

func (n network) Accept() (net.Conn, error) {
	select {
	case conn := <-n.accepts:
		return conn, nil
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

// dial returns a client of the server.
func (n network) dial(t *testing.T, opts ...grpc.DialOption) *grpc.ClientConn {
	return n.dialThrough(t, func(c net.Conn) net.Conn { return c }, opts...)
}

func (n network) dialThrough(t *testing.T, wrap func(net.Conn) net.Conn, opts ...grpc.DialOption) *grpc.ClientConn {
	return dial(t, "memory", append(opts, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		conn, err := n.connect(ctx)
		if err != nil {
			return nil, err
		}
		return wrap(conn), nil
	}))...)
}

func (n network) client(t *testing.T) pb.TestServiceClient {
	return pb.NewTestServiceClient(n.dial(t))
}

// mute is a connection on which nothing is written before a certain time, as if the
// client was not scheduled after the kernel had connected it.
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

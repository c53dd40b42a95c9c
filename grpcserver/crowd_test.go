package grpcserver_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

// A crowd is 32 clients that call as fast as they can, until they are refused:
// a dial that nobody answers is no loss, a call that fails on a connection is.
type crowd struct {
	addr    string
	perCall bool // a connection for each call, or else one for all
	creds   credentials.TransportCredentials

	stopping       atomic.Bool // the server is about to: a dial may fail
	answered, lost atomic.Int64
	first          atomic.Pointer[error] // that was lost
	clients        sync.WaitGroup
}

const (
	clients = 32
	// crowded bounds what a crowd does, on a machine that has no time for it.
	crowded = 3 * time.Minute
)

func (c *crowd) start(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), crowded)
	t.Cleanup(cancel)
	if c.creds == nil {
		c.creds = insecure.NewCredentials()
	}
	shared := c.dial(t, new(atomic.Bool))
	for range clients {
		c.clients.Go(func() {
			for ctx.Err() == nil && c.call(ctx, t, shared) {
			}
		})
	}
	go func() {
		c.clients.Wait()
		_ = shared.Close()
	}()
}

// dial makes a connection that has not been tried; connected is set when it is.
func (c *crowd) dial(t testing.TB, connected *atomic.Bool) *grpc.ClientConn {
	cc, err := grpc.NewClient("passthrough:///"+c.addr, grpc.WithTransportCredentials(c.creds), grpc.WithDisableRetry(),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			// While the listener drains nobody answers.
			conn, err := (&net.Dialer{Timeout: 300 * time.Millisecond}).DialContext(ctx, "tcp", addr)
			if err == nil {
				connected.Store(true)
			}
			return conn, err
		}))
	require.NoError(t, err)
	return cc
}

func (c *crowd) call(ctx context.Context, t testing.TB, cc *grpc.ClientConn) (again bool) {
	var connected atomic.Bool
	if c.perCall {
		cc = c.dial(t, &connected)
		defer func() { _ = cc.Close() }()
	}
	_, err := pb.NewTestServiceClient(cc).UnaryCall(ctx, &pb.SimpleRequest{})
	switch {
	case err == nil:
		c.answered.Add(1)
		return true
	case !connected.Load() && strings.Contains(err.Error(), "Error while dialing"):
		return !c.stopping.Load() // on a slow machine the dialer has had no time
	case ctx.Err() != nil: // the test is over
		return false
	}
	if c.lost.Add(1) == 1 {
		c.first.Store(&err)
	}
	return false
}

func (c *crowd) warm(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(crowded); c.answered.Load() < 300; time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "%d calls answered", c.answered.Load())
	}
	c.stopping.Store(true)
}

// end waits until everyone has been refused.
func (c *crowd) end(t testing.TB) {
	t.Helper()
	ended := make(chan struct{})
	go func() { defer close(ended); c.clients.Wait() }()
	within(t, "every client refused", ended)
}

func (c *crowd) requireNoneLost(t testing.TB) {
	t.Helper()
	if err := c.first.Load(); err != nil {
		require.Fail(t, "lost", "%d, and %d answered: %v", c.lost.Load(), c.answered.Load(), *err)
	}
}

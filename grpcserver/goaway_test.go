package grpcserver_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/grpcserver"
)

const (
	duck      = time.Second
	flock     = 80
	duckParts = 4
)

func TestInLameDuckClientsAreToldToLeaveOneAfterAnother(t *testing.T) {
	for name, secure := range map[string]bool{"in clear text": false, "over TLS, with Creds": true} {
		virtually(t, name, func(t *testing.T) {
			told := goodByes(t, secure, true)
			for _, n := range told[:duckParts] {
				require.InDelta(t, flock/duckParts, n, 2, "%v", told)
			}
		})
	}
}

func TestInLameDuckWhoHasConnectedAndNotCalledIsToldToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, shutdown.Config{LameDuck: duck})
		cc := serveInMemory(t, m, newServer(m, service{})).dial(t)
		cc.Connect()
		time.Sleep(2 * time.Second) // who has just connected is left alone for a while
		require.Equal(t, connectivity.Ready, cc.GetState())
		m.Begin(nil)
		require.True(t, cc.WaitForStateChange(t.Context(), connectivity.Ready))
		require.Equal(t, shutdown.Leave, m.Phase())
		require.NoError(t, within(t, "the end", wait(m)))
	})
}

// Over TLS without Creds, all are told when Drain begins; and so are all by
// plain gRPC.
func TestOverTLSWithoutCredsAllAreToldAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := goodByes(t, true, false)
		require.Equal(t, flock, told[duckParts])
	})
}

// goodByes returns how many of a flock of idle clients lost their connection in
// each part of the lame duck, and after it.
func goodByes(t *testing.T, secure, creds bool) (told [duckParts + 1]int) {
	m := manager(t, shutdown.Config{LameDuck: duck})
	var opts []grpc.ServerOption
	clientCreds := insecure.NewCredentials()
	if secure {
		c := credentials.NewTLS(serverTLS(t))
		if creds {
			c = grpcserver.Creds(c)
		}
		opts, clientCreds = append(opts, grpc.Creds(c)), clientTLS(t)
	}
	memory := serveInMemory(t, m, newServer(m, service{}, opts...))
	var list []*grpc.ClientConn
	for range flock {
		cc := memory.dial(t, grpc.WithTransportCredentials(clientCreds), grpc.WithIdleTimeout(0))
		require.NoError(t, call(t, pb.NewTestServiceClient(cc)))
		list = append(list, cc)
	}
	synctest.Wait() // a client is ready a moment after it has called
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	left := make(chan time.Time, flock)
	for _, cc := range list {
		go func() {
			if cc.WaitForStateChange(ctx, connectivity.Ready) {
				left <- time.Now()
			}
		}()
	}
	require.NoError(t, end(t, m))
	begun := m.Report().Begun
	for range flock {
		part := int(within(t, "everybody's leaving", left).Sub(begun) * duckParts / duck)
		told[min(part, duckParts)]++
	}
	return told
}

// A registry that does not answer makes Leave longer than the lame duck.
func TestAfterTheLameDuckWhoComesBackMayStay(t *testing.T) {
	t.Parallel()
	const lameDuck = 100 * time.Millisecond
	m, g := manager(t, shutdown.Config{LameDuck: lameDuck}), newGate(t)
	m.On(shutdown.Leave, "registry", g.pass)
	var late atomic.Int64
	c := client(t, start(t, m, newServer(m, service{})), grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		if r := m.Report(); !r.Begun.IsZero() && time.Since(r.Begun) > lameDuck {
			late.Add(1)
		}
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}))
	m.Begin(nil)
	for begun := m.Report().Begun; time.Since(begun) < 5*lameDuck; {
		require.NoError(t, call(t, c))
	}
	require.Equal(t, shutdown.Leave, m.Phase())
	require.LessOrEqual(t, late.Load(), int64(2))
	g.Open()
	require.NoError(t, within(t, "the end", wait(m)))
}

// Our frame must stand between two of gRPC's, whatever is being written.
func TestWhatIsBeingWrittenIsNotTorn(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{LameDuck: 500 * time.Millisecond})
	body := make([]byte, 300<<10)
	for i := range body {
		body[i] = byte(i)
	}
	addr := start(t, m, newServer(m, service{stream: func(s pb.TestService_FullDuplexCallServer) error {
		for m.Phase() != shutdown.Drain {
			if err := s.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: body}}); err != nil {
				return err
			}
		}
		return nil
	}}, grpc.WriteBufferSize(0))) // each piece is a write
	var received atomic.Int64
	results := make(chan error, 8)
	for range cap(results) {
		stream, err := client(t, addr).FullDuplexCall(t.Context())
		require.NoError(t, err)
		go func() {
			for {
				msg, err := stream.Recv()
				if err != nil {
					results <- err
					return
				}
				if string(msg.GetPayload().GetBody()) == string(body) {
					received.Add(1)
				}
			}
		}()
	}
	eventually(t, "messages", func() bool { return received.Load() > 20 })
	require.NoError(t, end(t, m))
	for range cap(results) {
		require.ErrorIs(t, within(t, "the end of a stream", results), io.EOF)
	}
}

package thirdparty

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/gracefulgo/shutdown/internal/load"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

// The load speaks gRPC with net/http's client, so that the root module need not require
// grpc-go.
func TestTheLoadCallsAGRPCServer(t *testing.T) {
	ln, err := net.Listen("tcp", loopback.Addr())
	require.NoError(t, err)
	srv := grpc.NewServer()
	h := health.NewServer()
	grpc_health_v1.RegisterHealthServer(srv, h)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	ask := func(method, message string) string {
		request := &load.Request{GRPC: true, Body: message}
		err := load.Clients{Addr: ln.Addr().String(), Paths: []string{method}, Request: request}.Ask(t.Context())
		if err != nil {
			return load.Kind(err)
		}
		return "answered"
	}
	require.Equal(t, "answered", ask("/grpc.health.v1.Health/Check", ""))
	require.Equal(t, "gRPC 5", ask("/grpc.health.v1.Health/Check", "\x0a\x01x")) // a service that is not known
	require.Equal(t, "gRPC 12", ask("/no.Service/Method", ""))

	for _, mode := range []load.Mode{load.NewConn, load.HTTP2, load.HTTP2Shared} {
		ctx, stop := context.WithCancel(t.Context())
		clients := load.Clients{Mode: mode, N: 4, Addr: ln.Addr().String(), Paths: []string{"/grpc.health.v1.Health/Check"}, Request: &load.Request{GRPC: true}}
		run := clients.Start(ctx)
		require.NoError(t, run.Warm(ctx, 5))
		stop()
		result := run.Wait()
		require.Empty(t, result.Lost, mode)
	}
	srv.Stop()
	require.NoError(t, <-served)
	require.Error(t, load.Clients{Addr: ln.Addr().String(), Request: &load.Request{GRPC: true}}.Ask(t.Context()))
}

package grpcserver_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/grpcserver"
)

func TestHealthSaysNotServingWhileServingGoesOn(t *testing.T) {
	t.Parallel()
	const lameDuck = time.Second
	m := manager(t, shutdown.Config{LameDuck: lameDuck})
	srv, h := newServer(m, service{}), health.NewServer()
	healthpb.RegisterHealthServer(srv, h)
	services := []string{"", "grpc.testing.TestService", "another"}
	for _, s := range services {
		h.SetServingStatus(s, healthpb.HealthCheckResponse_SERVING)
	}
	grpcserver.Health(m, h)
	cc := dial(t, start(t, m, srv))
	asker := healthpb.NewHealthClient(cc)
	var watches []grpc.ServerStreamingClient[healthpb.HealthCheckResponse]
	for _, s := range services {
		w, err := asker.Watch(t.Context(), &healthpb.HealthCheckRequest{Service: s})
		require.NoError(t, err)
		first, err := w.Recv()
		require.NoError(t, err)
		require.Equal(t, healthpb.HealthCheckResponse_SERVING, first.GetStatus())
		watches = append(watches, w)
	}

	begun := time.Now()
	m.Begin(nil)
	for i, w := range watches {
		next, err := w.Recv()
		require.NoError(t, err)
		require.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, next.GetStatus())
		got, err := asker.Check(t.Context(), &healthpb.HealthCheckRequest{Service: services[i]})
		require.NoError(t, err)
		require.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, got.GetStatus())
	}
	t.Logf("NOT_SERVING after %v", time.Since(begun))
	require.Less(t, time.Since(begun), lameDuck)
	require.Equal(t, shutdown.Leave, m.Phase())

	// Nobody turns it back, and the server serves.
	h.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	served, c := 0, pb.NewTestServiceClient(cc)
	for m.Phase() == shutdown.Leave {
		failed := call(t, c)
		got, err := asker.Check(t.Context(), &healthpb.HealthCheckRequest{})
		if m.Phase() == shutdown.Leave { // and not only when we called
			require.NoError(t, failed)
			served++
			require.NoError(t, err)
			require.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, got.GetStatus())
		}
		time.Sleep(time.Millisecond)
	}
	require.Positive(t, served)
	require.NoError(t, within(t, "the end", wait(m)))
	_, err := watches[0].Recv()
	require.Error(t, err)
}

func TestHealthAfterTheBeginningIsToldAtOnce(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	require.NoError(t, end(t, m))
	h := health.NewServer()
	grpcserver.Health(m, h)
	eventually(t, "NOT_SERVING", func() bool {
		got, err := h.Check(context.Background(), &healthpb.HealthCheckRequest{})
		return err == nil && got.GetStatus() == healthpb.HealthCheckResponse_NOT_SERVING
	})
}

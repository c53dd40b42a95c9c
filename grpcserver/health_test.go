package grpcserver_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/grpcserver"
)

// This test uses virtual time, so that the limit of 100 ms also holds on a slow machine.
func TestHealthReportsNotServingWhileTheServerGoesOnServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lameDuck = 5 * time.Second
		m := manager(t, shutdown.Config{LameDuck: lameDuck})
		srv, h := newServer(m, service{}), health.NewServer()
		healthpb.RegisterHealthServer(srv, h)
		services := []string{"", "grpc.testing.TestService", "another"}
		for _, s := range services {
			h.SetServingStatus(s, healthpb.HealthCheckResponse_SERVING)
		}
		grpcserver.Health(m, h)
		memory := serveInMemory(t, srv)
		asker := healthpb.NewHealthClient(memory.dial(t))
		var watches []grpc.ServerStreamingClient[healthpb.HealthCheckResponse]
		for _, s := range services {
			w, err := asker.Watch(t.Context(), &healthpb.HealthCheckRequest{Service: s})
			require.NoError(t, err)
			requireStatus(t, healthpb.HealthCheckResponse_SERVING, w.Recv)
			watches = append(watches, w)
		}
		// Until the end of the lame duck, calls are answered, on an existing connection and
		// on a new one. No call happens in the moment in which it ends.
		stays, served := memory.client(t), 0
		require.NoError(t, call(t, stays))
		time.Sleep(500 * time.Microsecond)

		begun := time.Now()
		m.Begin(nil)
		for i, w := range watches {
			requireStatus(t, healthpb.HealthCheckResponse_NOT_SERVING, w.Recv)
			requireStatus(t, healthpb.HealthCheckResponse_NOT_SERVING, check(t, asker, services[i]))
		}
		require.Less(t, time.Since(begun), 100*time.Millisecond)

		h.SetServingStatus("", healthpb.HealthCheckResponse_SERVING) // has no effect any more
		time.Sleep(500 * time.Microsecond)
		for time.Since(begun) < lameDuck {
			require.Equal(t, shutdown.Leave, m.Phase())
			require.NoError(t, call(t, stays))
			require.NoError(t, call(t, memory.client(t)))
			requireStatus(t, healthpb.HealthCheckResponse_NOT_SERVING, check(t, asker, ""))
			served++
			time.Sleep(50 * time.Millisecond)
		}
		require.Equal(t, 100, served)
		require.NoError(t, within(t, "the end", wait(m)))
		_, err := watches[0].Recv()
		require.Error(t, err)
	})
}

func TestControlWithoutHealthTheStatusDoesNotChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, shutdown.Config{LameDuck: time.Second})
		srv := newServer(m, service{})
		healthpb.RegisterHealthServer(srv, health.NewServer())
		asker := healthpb.NewHealthClient(serveInMemory(t, srv).dial(t))
		m.Begin(nil)
		time.Sleep(100 * time.Millisecond)
		requireStatus(t, healthpb.HealthCheckResponse_SERVING, check(t, asker, ""))
	})
}

// check returns a function that calls Check, with the signature of Recv of a Watch.
func check(t *testing.T, asker healthpb.HealthClient, service string) func() (*healthpb.HealthCheckResponse, error) {
	return func() (*healthpb.HealthCheckResponse, error) {
		return asker.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
	}
}

func requireStatus(t *testing.T, want healthpb.HealthCheckResponse_ServingStatus, ask func() (*healthpb.HealthCheckResponse, error)) {
	t.Helper()
	got, err := ask()
	require.NoError(t, err)
	require.Equal(t, want, got.GetStatus())
}

func TestHealthAfterTheStartOfTheShutdownReportsNotServingAtOnce(t *testing.T) {
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

package grpcserver_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

func TestTheReportCountsRPCsWhileLeavingAndConnectionsClosed(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	addr := start(t, newServer(m, service{unary: func(context.Context) error {
		require.Equal(t, "grpc", m.Tasks()[0].Kind)
		return nil
	}}))
	before, while := client(t, addr), client(t, addr)
	require.NoError(t, call(t, before))
	require.Empty(t, m.Report().Traffic)
	m.On(shutdown.Leave, "an RPC", func(context.Context) error { return call(t, while) })
	require.NoError(t, end(t, m))
	require.Equal(t, []shutdown.Traffic{{Kind: "grpc", RequestsWhileLeaving: 1, ConnectionsClosed: 2}}, m.Report().Traffic)
}

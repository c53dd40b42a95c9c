package orderstest

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/gracefulgo/shutdown/examples/kubernetes/orderspb"
)

// Dial returns a connection of a gRPC client.
func (p *Process) Dial() *grpc.ClientConn {
	p.t.Helper()
	conn, err := grpc.NewClient(p.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Health returns what the health service answers.
func (p *Process) Health(conn *grpc.ClientConn) (healthpb.HealthCheckResponse_ServingStatus, error) {
	resp, err := healthpb.NewHealthClient(conn).Check(p.t.Context(), &healthpb.HealthCheckRequest{})
	return resp.GetStatus(), err
}

// A Call is an order over gRPC, in flight.
type Call struct {
	t      *testing.T
	stream grpc.ClientStream
}

// Call starts an RPC, and sends no message.
func (p *Process) Call(conn *grpc.ClientConn) *Call {
	p.t.Helper()
	_, err := p.Health(conn) // the connection is established
	require.NoError(p.t, err)
	// Create has one message, but it can come later.
	stream, err := conn.NewStream(p.t.Context(), &grpc.StreamDesc{ClientStreams: true}, orderspb.Orders_Create_FullMethodName)
	require.NoError(p.t, err)
	return &Call{p.t, stream}
}

// Finish sends the message, and checks that the order is stored.
func (c *Call) Finish() {
	c.t.Helper()
	require.NoError(c.t, c.stream.SendMsg(&orderspb.CreateRequest{Item: "coffee", Quantity: 2}))
	require.NoError(c.t, c.stream.CloseSend())
	var o orderspb.Order
	require.NoError(c.t, c.stream.RecvMsg(&o))
	require.NotEmpty(c.t, o.GetId())
	require.Equal(c.t, "coffee", o.GetItem())
	require.EqualValues(c.t, 2, o.GetQuantity())
}

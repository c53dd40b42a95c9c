package grpcserver_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/grpcserver"
)

const (
	unaryName  = "grpc /grpc.testing.TestService/UnaryCall"
	streamName = "grpc /grpc.testing.TestService/FullDuplexCall"
)

func TestRPCsAreInFlightUnderTheirFullMethod(t *testing.T) {
	t.Parallel()
	m, g := manager(t, shutdown.Config{}), newGate(t)
	c := client(t, start(t, newServer(m, service{
		unary:  g.pass,
		stream: func(s pb.TestService_FullDuplexCallServer) error { return g.pass(s.Context()) },
	})))
	answer := later(t, c)
	within(t, "the unary call", g.entered)
	stream, err := c.FullDuplexCall(t.Context())
	require.NoError(t, err)
	within(t, "the stream", g.entered)
	require.Equal(t, []string{unaryName, streamName}, taskNames(m))

	g.Open()
	require.NoError(t, within(t, "the answer", answer))
	_, err = stream.Recv()
	require.ErrorContains(t, err, "EOF")
	eventually(t, "nothing in flight", func() bool { return len(m.Tasks()) == 0 })
}

func TestTheContextsOfHandlersCarryTheManagerAndTheClientsDeadline(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	seen := make(chan context.Context, 2)
	see := func(ctx context.Context) error { seen <- ctx; return nil }
	c := client(t, start(t, newServer(m, service{
		unary:  see,
		stream: func(s pb.TestService_FullDuplexCallServer) error { return see(s.Context()) },
	})))
	require.NoError(t, call(t, c))
	_, err := c.FullDuplexCall(t.Context())
	require.NoError(t, err)
	for _, deadline := range []bool{true, false} {
		ctx := within(t, "the context", seen)
		got, ok := shutdown.FromContext(ctx)
		require.True(t, ok)
		require.Same(t, m, got)
		_, ok = ctx.Deadline()
		require.Equal(t, deadline, ok)
		<-ctx.Done() // ends with the RPC
	}
}

func TestAHandlerCanAskWhetherTheShutdownHasStarted(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	inside := make(chan struct{})
	c := client(t, start(t, newServer(m, service{stream: func(s pb.TestService_FullDuplexCallServer) error {
		close(inside)
		m, _ := shutdown.FromContext(s.Context())
		<-m.AcceptContext().Done()
		return s.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: []byte("closing")}})
	}})))
	stream, err := c.FullDuplexCall(t.Context())
	require.NoError(t, err)
	within(t, "the stream", inside)
	require.NoError(t, end(t, m))
	msg, err := stream.Recv()
	require.NoError(t, err)
	require.Equal(t, "closing", string(msg.GetPayload().GetBody()))
	_, err = stream.Recv()
	require.ErrorContains(t, err, "EOF")
}

func TestOptionsComposeWithTheUsersInterceptors(t *testing.T) {
	t.Parallel()
	type key struct{}
	unary := func(name string) grpc.UnaryServerInterceptor {
		return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			before, _ := ctx.Value(key{}).(string)
			return next(context.WithValue(ctx, key{}, before+name), req)
		}
	}
	stream := func(name string) grpc.StreamServerInterceptor {
		return func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			before, _ := s.Context().Value(key{}).(string)
			return next(srv, withContext{s, context.WithValue(s.Context(), key{}, before+name)})
		}
	}
	m := manager(t, shutdown.Config{})
	seen := make(chan string, 1)
	see := func(ctx context.Context) error {
		names, _ := ctx.Value(key{}).(string)
		if got, ok := shutdown.FromContext(ctx); !ok || got != m || len(m.Tasks()) != 1 {
			names += " without the library"
		}
		seen <- names
		return nil
	}
	srv := grpc.NewServer(append(append([]grpc.ServerOption{
		grpc.ChainUnaryInterceptor(unary("b")), grpc.ChainStreamInterceptor(stream("b")),
	}, grpcserver.Options(m)...),
		grpc.UnaryInterceptor(unary("a")), grpc.StreamInterceptor(stream("a")),
		grpc.ChainUnaryInterceptor(unary("c")), grpc.ChainStreamInterceptor(stream("c")),
	)...)
	pb.RegisterTestServiceServer(srv, service{
		unary:  see,
		stream: func(s pb.TestService_FullDuplexCallServer) error { return see(s.Context()) },
	})
	c := client(t, start(t, grpcserver.Adopt(m, srv)))
	require.NoError(t, call(t, c))
	require.Equal(t, "abc", within(t, "the call", seen))
	_, err := c.FullDuplexCall(t.Context())
	require.NoError(t, err)
	require.Equal(t, "abc", within(t, "the stream", seen))
}

type withContext struct {
	grpc.ServerStream
	ctx context.Context
}

func (s withContext) Context() context.Context { return s.ctx }

// The client gets Unavailable if its handler returns because the shutdown has cancelled
// it, and otherwise what the handler returns.
func TestTheStatusOfAnRPCThatTheShutdownCancels(t *testing.T) {
	own := status.Error(codes.DataLoss, "the handler's own")
	for name, handle := range map[string]struct {
		returns func(context.Context) error
		want    codes.Code
	}{
		"the context's error":       {func(ctx context.Context) error { return ctx.Err() }, codes.Unavailable},
		"the error of its own call": {func(context.Context) error { return status.Error(codes.Canceled, "downstream") }, codes.Unavailable},
		"the cause":                 {func(ctx context.Context) error { return errors.Join(ctx.Err(), context.Cause(ctx)) }, codes.Unavailable},
		"the cause alone":           {func(ctx context.Context) error { return fmt.Errorf("handler: %w", context.Cause(ctx)) }, codes.Unavailable},
		"another error":             {func(context.Context) error { return own }, codes.DataLoss},
		"no error":                  {func(context.Context) error { return nil }, codes.OK},
	} {
		virtually(t, name, func(t *testing.T) {
			m := manager(t, shutdown.Config{})
			inside := make(chan struct{})
			c := serveInMemory(t, newServer(m, service{unary: func(ctx context.Context) error {
				close(inside)
				<-ctx.Done()
				return handle.returns(ctx)
			}})).client(t)
			answer := later(t, c)
			within(t, "the call", inside)
			m.Force(nil)
			require.Equal(t, handle.want, status.Code(within(t, "the answer", answer)))
		})
	}
}

func TestAnRPCThatTheClientCancelsIsCanceled(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	inside, errs := make(chan struct{}), make(chan error, 1)
	interceptor := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		resp, err := next(ctx, req)
		errs <- err
		return resp, err
	}
	c := client(t, start(t, newServer(m, service{unary: func(ctx context.Context) error {
		close(inside)
		<-ctx.Done()
		return ctx.Err()
	}}, grpc.UnaryInterceptor(interceptor))))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-inside; cancel() }()
	_, err := c.UnaryCall(ctx, &pb.SimpleRequest{})
	require.Equal(t, codes.Canceled, status.Code(err))
	require.ErrorIs(t, within(t, "the handler's error", errs), context.Canceled)
}

// This tests the interceptors of a server that the caller runs.
func TestAnRPCAfterTheEndIsAnsweredUnavailable(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	require.NoError(t, end(t, m))
	srv := newServer(m, service{})
	health := health.NewServer()
	healthpb.RegisterHealthServer(srv, health)
	ln := listen(t)
	served := make(chan error, 1)
	go func() { served <- srv.Server.Serve(ln) }()
	cc := dial(t, ln.Addr().String())
	c := pb.NewTestServiceClient(cc)

	require.Equal(t, codes.Unavailable, status.Code(call(t, c)))
	stream, err := c.FullDuplexCall(t.Context())
	require.NoError(t, err)
	_, err = stream.Recv()
	require.Equal(t, codes.Unavailable, status.Code(err))
	_, err = healthpb.NewHealthClient(cc).Check(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err, "health checks are answered to the end")
	watch, err := healthpb.NewHealthClient(cc).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	eventually(t, "the end of the watch", func() bool { _, err := watch.Recv(); return err != nil })

	srv.Stop()
	require.NoError(t, within(t, "Serve", served))
}

func TestProbesAreNotInFlight(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	srv := newServer(m, service{})
	h := health.NewServer()
	healthpb.RegisterHealthServer(srv, h)
	cc := dial(t, start(t, srv))
	watch, err := healthpb.NewHealthClient(cc).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	_, err = watch.Recv()
	require.NoError(t, err)
	require.Empty(t, m.Tasks())

	begun := time.Now()
	require.NoError(t, end(t, m), "a watch does not end by itself")
	require.Less(t, time.Since(begun), soon)
	_, err = watch.Recv()
	require.Error(t, err)
}

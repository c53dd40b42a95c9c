package grpcserver_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/grpcserver"
)

// A trial is one shutdown in which RPCs are served.
type trial struct {
	pb.UnimplementedTestServiceServer
	t      *testing.T
	m      *shutdown.Manager
	handle func(context.Context) error // of all RPCs except client streams
	began  chan struct{}               // a token for each RPC whose handler has been called
	over   chan struct{}               // closed when the RPC may end, in time or after the shutdown
	once   sync.Once
	served chan struct{} // closed when the client has its result
}

func newTrial(t *testing.T, m *shutdown.Manager) *trial {
	s := &trial{t: t, m: m, began: make(chan struct{}, 10), over: make(chan struct{}), served: make(chan struct{})}
	t.Cleanup(s.end)
	return s
}

func (s *trial) end() { s.once.Do(func() { close(s.over) }) }

// server returns the server of the trial.
func (s *trial) server() *grpcserver.Server {
	srv := grpcserver.NewServer(s.m)
	pb.RegisterTestServiceServer(srv, s)
	return srv
}

func (s *trial) UnaryCall(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	s.began <- struct{}{}
	return &pb.SimpleResponse{}, s.handle(ctx)
}

func (s *trial) StreamingOutputCall(_ *pb.StreamingOutputCallRequest, stream pb.TestService_StreamingOutputCallServer) error {
	if err := stream.Send(&pb.StreamingOutputCallResponse{}); err != nil {
		return err
	}
	s.began <- struct{}{}
	return s.handle(stream.Context())
}

// StreamingInputCall does not use its context; it is blocked in Recv.
func (s *trial) StreamingInputCall(stream pb.TestService_StreamingInputCallServer) error {
	s.began <- struct{}{}
	for {
		switch _, err := stream.Recv(); {
		case errors.Is(err, io.EOF):
			return stream.SendAndClose(&pb.StreamingInputCallResponse{})
		case err != nil:
			return err
		}
	}
}

func (s *trial) FullDuplexCall(stream pb.TestService_FullDuplexCallServer) error {
	s.began <- struct{}{}
	return s.handle(stream.Context())
}

// start makes the call and returns when its handler has been called.
func (s *trial) start(call func(*trial, pb.TestServiceClient) error, c pb.TestServiceClient) <-chan error {
	result := make(chan error, 1)
	go func() {
		result <- call(s, c)
		close(s.served)
	}()
	within(s.t, "the call", s.began)
	return result
}

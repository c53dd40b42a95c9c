package guard

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

// calls is a kind of gRPC call.
type calls string

const (
	perCall       calls = "unary, dial per call"
	shared        calls = "unary, shared connection"
	serverStreams calls = "server streams"
	bidiStreams   calls = "bidirectional streams"
)

// messages is how many messages a stream has in each direction.
const messages = 5

// An rpcServer takes as long as work says. A request without a payload is a short
// one.
type rpcServer struct {
	pb.UnimplementedTestServiceServer
}

func newRPCServer(opts ...grpc.ServerOption) *grpc.Server {
	srv := grpc.NewServer(opts...)
	pb.RegisterTestServiceServer(srv, rpcServer{})
	return srv
}

func rpcPath(req *pb.Payload) string { return string(req.GetBody()) }

func (rpcServer) UnaryCall(_ context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	took, size := work(rpcPath(req.GetPayload()))
	time.Sleep(took)
	return &pb.SimpleResponse{Payload: &pb.Payload{Body: make([]byte, size)}}, nil
}

func (rpcServer) StreamingOutputCall(req *pb.StreamingOutputCallRequest, stream pb.TestService_StreamingOutputCallServer) error {
	took, size := work(rpcPath(req.GetPayload()))
	for range messages {
		time.Sleep(took / messages)
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: make([]byte, size/messages)}}); err != nil {
			return err
		}
	}
	return nil
}

func (rpcServer) FullDuplexCall(stream pb.TestService_FullDuplexCallServer) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		took, _ := work(rpcPath(req.GetPayload()))
		time.Sleep(took / messages)
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: req.GetPayload()}); err != nil {
			return err
		}
	}
}

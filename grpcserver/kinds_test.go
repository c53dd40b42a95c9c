package grpcserver_test

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
)

// What handlers do when their context ends.
var (
	giveUp = func(s *trial) func(context.Context) error {
		return func(ctx context.Context) error {
			select {
			case <-s.over:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	finish = func(s *trial) func(context.Context) error {
		return func(ctx context.Context) error {
			_ = giveUp(s)(ctx)
			return nil
		}
	}
	atOnce = func(*trial) func(context.Context) error {
		return func(context.Context) error { return nil }
	}
	never = func(s *trial) func(context.Context) error {
		return func(context.Context) error {
			<-s.over
			return nil
		}
	}
)

// What clients do. They return the error of the RPC.

func callUnary(s *trial, c pb.TestServiceClient) error {
	_, err := c.UnaryCall(s.t.Context(), &pb.SimpleRequest{})
	return err
}

// late sends the RPC when RPCs should end, or have been cut off.
func late(s *trial, c pb.TestServiceClient) error {
	if err := callUnary(s, c); err != nil {
		return err
	}
	select {
	case <-s.over:
	case <-s.m.WorkContext().Done():
	}
	return callUnary(s, c)
}

func serverStream(s *trial, c pb.TestServiceClient) error {
	stream, err := c.StreamingOutputCall(s.t.Context(), &pb.StreamingOutputCallRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	return butEOF(err)
}

func clientStream(s *trial, c pb.TestServiceClient) error {
	stream, err := c.StreamingInputCall(s.t.Context())
	if err == nil {
		err = stream.Send(&pb.StreamingInputCallRequest{})
	}
	if err != nil {
		return err
	}
	go func() {
		<-s.over
		_ = stream.CloseSend()
	}()
	return butEOF(stream.RecvMsg(&pb.StreamingInputCallResponse{}))
}

func bidiStream(s *trial, c pb.TestServiceClient) error {
	stream, err := c.FullDuplexCall(s.t.Context())
	for err == nil {
		_, err = stream.Recv()
	}
	return butEOF(err)
}

func butEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// A kind is a kind of RPC. It is cut off by the deadline and by force, unless it ends in
// time.
type kind struct {
	name    string
	rpc     string // its name
	handle  func(*trial) func(context.Context) error
	call    func(*trial, pb.TestServiceClient) error
	prepare func(*trial)          // nil for nothing
	ends    []string              // nil for all
	client  map[string]codes.Code // what the client gets if it is cut off
}

var kinds = []kind{
	{name: "unary, cancelled", rpc: unaryName, handle: giveUp, call: callUnary, client: map[string]codes.Code{deadline: codes.Unavailable, forced: codes.Unavailable}},
	{name: "unary, answered OK", rpc: unaryName, handle: finish, call: callUnary},
	{
		// New RPCs are accepted in Leave, which only force can cut short.
		name: "unary, started late, answered OK", rpc: unaryName, handle: atOnce, call: late, ends: []string{ownEnd, forced},
		prepare: func(s *trial) {
			s.m.On(shutdown.Leave, "serve on", func(context.Context) error {
				<-s.served
				return nil
			})
		},
	},
	{name: "server stream, cancelled", rpc: outputName, handle: giveUp, call: serverStream, client: map[string]codes.Code{deadline: codes.Unavailable, forced: codes.Unavailable}},
	{name: "server stream, ended OK", rpc: outputName, handle: finish, call: serverStream},
	{name: "client stream, blocked in Recv", rpc: inputName, call: clientStream, client: map[string]codes.Code{deadline: codes.Unavailable, forced: codes.Unavailable}},
	{name: "bidi stream, cancelled", rpc: streamName, handle: giveUp, call: bidiStream, client: map[string]codes.Code{deadline: codes.Unavailable, forced: codes.Unavailable}},
	{name: "bidi stream, ended OK", rpc: streamName, handle: finish, call: bidiStream},
}

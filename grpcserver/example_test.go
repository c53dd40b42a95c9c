package grpcserver_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/grpcserver"
	"github.com/gracefulgo/shutdown/listener"
)

// quiet is for examples: the Manager catches no signals and logs nothing. A program uses
// shutdown.Config{}.
var quiet = shutdown.Config{Signals: map[os.Signal]shutdown.Action{}, Logger: slog.New(slog.DiscardHandler)}

// A slowService answers when Drain has started.
type slowService struct {
	pb.UnimplementedTestServiceServer
	m        *shutdown.Manager
	inFlight chan struct{}
}

func (s slowService) UnaryCall(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	close(s.inFlight)
	<-s.m.Reached(shutdown.Drain)
	return &pb.SimpleResponse{Username: "gopher"}, nil
}

// An RPC that is in flight when the shutdown starts is answered.
func ExampleNewServer() {
	m, err := shutdown.New(quiet)
	if err != nil {
		log.Fatal(err)
	}
	srv := grpcserver.NewServer(m)
	service := slowService{m: m, inFlight: make(chan struct{})}
	pb.RegisterTestServiceServer(srv, service)
	h := health.NewServer()
	healthpb.RegisterHealthServer(srv, h)
	grpcserver.Health(m, h)
	if err := srv.Start("127.0.0.1:0"); err != nil {
		log.Fatal(err)
	}

	conn, err := grpc.NewClient(srv.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	answer := make(chan string)
	go func() {
		resp, err := pb.NewTestServiceClient(conn).UnaryCall(context.Background(), &pb.SimpleRequest{})
		if err != nil {
			answer <- err.Error()
			return
		}
		answer <- resp.GetUsername()
	}()
	<-service.inFlight
	m.Begin(nil) // in a program: a signal
	fmt.Println(<-answer)
	fmt.Println(m.Wait())
	// Output:
	// gopher
	// <nil>
}

// Adopt takes over a server that a framework has made with Options.
func ExampleAdopt() {
	m, err := shutdown.New(quiet)
	if err != nil {
		log.Fatal(err)
	}
	framework := func(opts ...grpc.ServerOption) *grpc.Server { return grpc.NewServer(opts...) }
	srv := grpcserver.Adopt(m, framework(grpcserver.Options(m)...))
	ln, err := listener.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	if err := srv.Serve(ln); err != nil {
		log.Fatal(err)
	}

	m.Begin(nil) // in a program: a signal
	<-srv.Drained()
	fmt.Println(m.Wait())
	// Output: <nil>
}

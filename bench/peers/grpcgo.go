package main

import (
	"context"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
)

// grpcGo is grpc-go's example of a graceful stop: Stop when the time is over. It has no
// hooks: what is deferred cleans up.
//
// https://github.com/grpc/grpc-go/tree/master/examples/features/gracefulstop
func grpcGo(s *service.Service) {
	//lines:begin grpc-go
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer func() {
		_ = s.CloseDatabase(context.Background())
		_ = s.FlushQueue(context.Background())
		_ = s.CloseCache(context.Background())
	}()
	if err := s.Connect(ctx); err != nil {
		log.Print(err)
		return
	}
	ln, err := net.Listen("tcp", s.GRPC)
	if err != nil {
		log.Fatal(err)
	}
	srv := grpc.NewServer()
	s.Register(srv)
	go func() {
		if err := srv.Serve(ln); err != nil {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()
	timer := time.AfterFunc(service.Grace, srv.Stop)
	defer timer.Stop()
	srv.GracefulStop()
	//lines:end
}

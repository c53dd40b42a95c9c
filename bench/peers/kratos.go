package main

import (
	"log"

	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/transport/grpc"
	"github.com/go-kratos/kratos/v2/transport/http"

	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
)

// kratosHTTP is an App with an HTTP server. Its AfterStop hooks run when the servers have
// stopped.
//
// https://go-kratos.dev/docs/getting-started/usage and
// https://pkg.go.dev/github.com/go-kratos/kratos/v2#AfterStop
func kratosHTTP(s *service.Service) {
	//lines:begin go-kratos
	srv := http.NewServer(http.Address(s.HTTP))
	srv.Protocols = service.Protocols()
	srv.HandlePrefix("/", s)
	app := kratos.New(
		kratos.Server(srv),
		kratos.StopTimeout(service.Grace),
		kratos.BeforeStart(s.Connect),
		kratos.AfterStop(s.CloseCache),
		kratos.AfterStop(s.FlushQueue),
		kratos.AfterStop(s.CloseDatabase),
	)
	if err := app.Run(); err != nil {
		log.Fatal(err)
	}
	//lines:end
}

func kratosGRPC(s *service.Service) {
	//lines:begin go-kratos, gRPC
	srv := grpc.NewServer(grpc.Address(s.GRPC))
	s.Register(srv)
	app := kratos.New(
		kratos.Server(srv),
		kratos.StopTimeout(service.Grace),
		kratos.BeforeStart(s.Connect),
		kratos.AfterStop(s.CloseCache),
		kratos.AfterStop(s.FlushQueue),
		kratos.AfterStop(s.CloseDatabase),
	)
	if err := app.Run(); err != nil {
		log.Fatal(err)
	}
	//lines:end
}

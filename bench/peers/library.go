package main

import (
	"net/http"
	"os"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
	"github.com/gracefulgo/shutdown/grpcserver"
	"github.com/gracefulgo/shutdown/httpserver"
)

func libraryHTTP(s *service.Service) {
	//lines:begin library
	start := func(m *shutdown.Manager) error {
		m.On(shutdown.Close, "CloseCache", s.CloseCache)
		m.On(shutdown.Close, "FlushQueue", s.FlushQueue)
		m.On(shutdown.Close, "CloseDatabase", s.CloseDatabase)
		if err := s.Connect(m.AcceptContext()); err != nil {
			return err
		}
		_, err := httpserver.Start(m, &http.Server{Addr: s.HTTP, Handler: s, Protocols: service.Protocols()})
		return err
	}
	os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{GracePeriod: service.Grace}, start)))
	//lines:end
}

func libraryGRPC(s *service.Service) {
	//lines:begin library, gRPC
	start := func(m *shutdown.Manager) error {
		m.On(shutdown.Close, "CloseCache", s.CloseCache)
		m.On(shutdown.Close, "FlushQueue", s.FlushQueue)
		m.On(shutdown.Close, "CloseDatabase", s.CloseDatabase)
		if err := s.Connect(m.AcceptContext()); err != nil {
			return err
		}
		srv := grpcserver.NewServer(m)
		s.Register(srv)
		return srv.Start(s.GRPC)
	}
	os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{GracePeriod: service.Grace}, start)))
	//lines:end
}

package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/labstack/echo/v5"

	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
)

// labstackEcho is echo's recipe for a graceful shutdown. It has no hooks: what is deferred
// cleans up.
//
// https://echo.labstack.com/cookbook/graceful-shutdown/
func labstackEcho(s *service.Service) {
	//lines:begin echo
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
	e := echo.New()
	e.POST("/*", echo.WrapHandler(s))
	start := echo.StartConfig{
		Address:         s.HTTP,
		GracefulTimeout: service.Grace,
		BeforeServeFunc: func(srv *http.Server) error {
			srv.Protocols = service.Protocols()
			return nil
		},
	}
	if err := start.Start(ctx, e); err != nil {
		e.Logger.Error("failed to start server", "error", err)
	}
	//lines:end
}

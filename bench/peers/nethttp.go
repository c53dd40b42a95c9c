package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
)

// netHTTP is the example of http.Server.Shutdown, with a timeout and with SIGTERM. It has
// no hooks: what is deferred cleans up.
//
// https://pkg.go.dev/net/http#example-Server.Shutdown
func netHTTP(s *service.Service) {
	//lines:begin net/http
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
	srv := &http.Server{Addr: s.HTTP, Handler: s, Protocols: service.Protocols()}
	go func() {
		if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()
	timeout, cancel := context.WithTimeout(context.Background(), service.Grace)
	defer cancel()
	if err := srv.Shutdown(timeout); err != nil {
		log.Print(err)
	}
	//lines:end
}

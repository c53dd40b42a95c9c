package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"syscall"

	"github.com/oklog/run"

	"github.com/gracefulgo/shutdown/bench/peers/internal/service"
)

// oklogRun has the actors of oklog/run's README for signals and for an HTTP server, and
// one actor for each resource. Interrupts are called in the order of Add, so the server
// has drained before the resources are told to close.
//
// https://github.com/oklog/run#readme
func oklogRun(s *service.Service) {
	//lines:begin oklog/run
	if err := s.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	var g run.Group
	g.Add(run.SignalHandler(context.Background(), os.Interrupt, syscall.SIGTERM))
	srv := &http.Server{Addr: s.HTTP, Handler: s, Protocols: service.Protocols()}
	g.Add(srv.ListenAndServe, func(error) {
		ctx, cancel := context.WithTimeout(context.Background(), service.Grace)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			log.Print(err)
		}
	})
	for _, cleanup := range []func(context.Context) error{s.CloseCache, s.FlushQueue, s.CloseDatabase} {
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error {
			<-ctx.Done()
			return cleanup(context.Background())
		}, func(error) { cancel() })
	}
	if err := g.Run(); !errors.Is(err, run.ErrSignal) {
		log.Fatal(err)
	}
	//lines:end
}

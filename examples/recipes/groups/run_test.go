package main

import (
	"context"
	"syscall"
	"time"

	"github.com/oklog/run"
)

// recipe

func withRun() error {
	var g run.Group
	ctx, cancel := context.WithCancel(context.Background())
	g.Add(func() error { return poll(ctx, ctx) }, func(error) { cancel() })
	srv := newServer()
	g.Add(srv.ListenAndServe, func(error) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		srv.Shutdown(ctx)
	})
	g.Add(run.SignalHandler(context.Background(), syscall.SIGTERM))
	return g.Run()
}

// end

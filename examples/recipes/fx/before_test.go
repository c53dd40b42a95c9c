package main

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/fx"
)

var stopTimeout = fx.StopTimeout(time.Second)

// recipe

func before() {
	fx.New(fx.Provide(newDB), fx.Invoke(serveBefore), stopTimeout).Run()
}

func serveBefore(lc fx.Lifecycle, db *DB) {
	srv := &http.Server{Addr: addr, Handler: orders(db)}
	lc.Append(fx.Hook{
		OnStart: func(context.Context) error { go srv.ListenAndServe(); return nil },
		OnStop:  srv.Shutdown,
	})
}

// end

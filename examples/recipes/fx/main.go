// Fx is a service whose parts go.uber.org/fx puts together.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"go.uber.org/fx"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
	"github.com/gracefulgo/shutdown/httpserver"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

var addr = demo.Addr

// A DB says when it is closed.
type DB struct{}

func newDB(lc fx.Lifecycle) *DB {
	lc.Append(fx.Hook{OnStop: func(context.Context) error {
		fmt.Println("db: closed")
		return nil
	}})
	return &DB{}
}

func orders(*DB) http.Handler { return http.HandlerFunc(demo.Order) }

// recipe

func start(m *shutdown.Manager) error {
	app := fx.New(fx.Supply(m), fx.Provide(newDB), fx.Invoke(serve))
	if err := app.Start(m.AcceptContext()); err != nil {
		return err
	}
	m.On(shutdown.Close, "fx", app.Stop)
	return nil
}

func serve(lc fx.Lifecycle, m *shutdown.Manager, db *DB) {
	srv := &http.Server{Addr: addr, Handler: orders(db)}
	lc.Append(fx.Hook{OnStart: func(context.Context) error {
		_, err := httpserver.Start(m, srv)
		return err
	}})
}

// end

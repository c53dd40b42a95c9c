// Asynq is a server of asynq, whose broker is Redis.
package main

import (
	"context"
	"os"

	"github.com/hibiken/asynq"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

var redis = asynq.RedisClientOpt{Addr: os.Getenv("RECIPE_BROKER")}

func handle(ctx context.Context, t *asynq.Task) error { return demo.Handle(ctx, string(t.Payload())) }

// recipe

func start(m *shutdown.Manager) error {
	srv := asynq.NewServer(redis, asynq.Config{
		BaseContext:     m.WorkContext,
		ShutdownTimeout: m.Report().Timeout, // longer than WorkContext, which ends handlers
	})
	mux := asynq.NewServeMux()
	mux.HandleFunc("order", func(ctx context.Context, t *asynq.Task) error {
		done, _ := m.Track("task " + t.ResultWriter().TaskID()) // names it in the log
		defer done()
		return handle(ctx, t)
	})
	m.Go("asynq", func(ctx context.Context) error {
		if err := srv.Start(mux); err != nil { // not Run, which catches SIGTERM
			return err
		}
		<-ctx.Done()
		srv.Shutdown() // fetches nothing new, and waits for the handlers
		return nil
	})
	return nil
}

// end

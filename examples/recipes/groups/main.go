// Groups is a service with a worker, which was a group of goroutines before.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
	"github.com/gracefulgo/shutdown/httpserver"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

func newServer() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", demo.Order)
	return &http.Server{Addr: demo.Addr, Handler: mux}
}

// poll polls until ctx ends. What it finds it handles with work.
func poll(ctx, work context.Context) error {
	for tick := time.Tick(10 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick:
			if err := demo.Work(work, "message"); err != nil {
				fmt.Println("message:", err)
				return err
			}
			fmt.Println("message: handled")
		}
	}
}

// recipe

func start(m *shutdown.Manager) error {
	m.Go("poll", func(ctx context.Context) error { return poll(ctx, m.WorkContext()) })
	_, err := httpserver.Start(m, newServer())
	return err
}

// end

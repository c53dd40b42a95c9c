// SSE is a stream of server-sent events.
package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
	"github.com/gracefulgo/shutdown/httpserver"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

var addr = demo.Addr

// recipe

func start(m *shutdown.Manager) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for tick := time.Tick(100 * time.Millisecond); ; {
			select {
			case now := <-tick:
				fmt.Fprintf(w, "data: %s\n\n", now)
				http.NewResponseController(w).Flush()
			case <-m.Reached(shutdown.Drain):
				fmt.Fprintf(w, "retry: %d\n\n", rand.N(1000)) // milliseconds
				return
			case <-r.Context().Done():
				return
			}
		}
	})
	_, err := httpserver.Start(m, &http.Server{Addr: addr, Handler: mux})
	return err
}

// end

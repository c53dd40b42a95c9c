// Minimal is the shortest service that shuts down gracefully. It is the program in the
// README.
//
//	go run ./examples/minimal
//
// Press Ctrl-C while a request is in flight: it is answered before the program ends.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

func main() {
	os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start)))
}

func start(m *shutdown.Manager) error {
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(3 * time.Second)
		fmt.Fprintln(w, "hello")
	})
	_, err := httpserver.Start(m, &http.Server{Addr: ":8080"})
	return err
}

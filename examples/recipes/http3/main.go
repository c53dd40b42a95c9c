// Http3 is a service on HTTP/3, with quic-go.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/quic-go/quic-go/http3"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/testcert"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

// newServer returns a server that is not started.
func newServer() (*http3.Server, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", demo.Order)
	var c testcert.Certificate
	if err := json.Unmarshal([]byte(os.Getenv("RECIPE_CERTIFICATE")), &c); err != nil {
		return nil, err
	}
	config, err := c.Server()
	return &http3.Server{Addr: demo.Addr, Handler: mux, TLSConfig: config}, err
}

// recipe

func start(m *shutdown.Manager) error {
	srv, err := newServer()
	if err != nil {
		return err
	}
	srv.Handler = httpserver.Middleware(m)(srv.Handler)
	m.On(shutdown.Drain, "http3", srv.Shutdown)
	go func() {
		err := srv.ListenAndServe()
		m.Begin(fmt.Errorf("http3: %w", err)) // without effect once the shutdown has begun
	}()
	return nil
}

// end

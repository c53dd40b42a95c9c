// Metrics is a service with metrics and profiles.
package main

import (
	"net/http"
	_ "net/http/pprof"
	"os"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
	"github.com/gracefulgo/shutdown/httpserver"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

var addr, adminAddr, order = demo.Addr, demo.AdminAddr, demo.Order

// recipe

func start(m *shutdown.Manager) error {
	http.Handle("GET /metrics", promhttp.Handler()) // net/http/pprof is in DefaultServeMux, too
	_, err := admin.Start(m, adminAddr, admin.Options{Handler: http.DefaultServeMux})
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", order)
	_, err = httpserver.Start(m, &http.Server{Addr: addr, Handler: mux})
	return err
}

// end

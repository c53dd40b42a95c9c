// Chi is a service with the router chi.
package main

import (
	"net/http"
	"os"

	"github.com/go-chi/chi/v5"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
	"github.com/gracefulgo/shutdown/httpserver"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

var addr, order = demo.Addr, demo.Order

// recipe

func start(m *shutdown.Manager) error {
	r := chi.NewRouter()
	r.Group(func(r chi.Router) {
		r.Use(named) // in a group it runs when the route is known
		r.Get("/orders/{id}", order)
	})
	_, err := httpserver.Start(m, &http.Server{Addr: addr, Handler: r})
	return err
}

func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpserver.SetName(r.Context(), r.Method+" "+chi.RouteContext(r.Context()).RoutePattern())
		next.ServeHTTP(w, r)
	})
}

// end

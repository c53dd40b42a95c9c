// Echo is a service with the framework echo, behind the instrumentation of OpenTelemetry.
package main

import (
	"net/http"
	"os"

	"github.com/labstack/echo/v5"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
	"github.com/gracefulgo/shutdown/httpserver"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

var addr, order = demo.Addr, echo.WrapHandler(http.HandlerFunc(demo.Order))

// recipe

func start(m *shutdown.Manager) error {
	e := echo.New()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			r := c.Request()
			httpserver.SetName(r.Context(), r.Method+" "+c.Path())
			return next(c)
		}
	})
	e.GET("/orders/:id", order)
	srv := &http.Server{Addr: addr, Handler: otelhttp.NewHandler(e, "orders")}
	_, err := httpserver.Start(m, srv) // instead of e.Start, which catches SIGTERM
	return err
}

// end

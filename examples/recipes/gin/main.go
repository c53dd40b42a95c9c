// Gin is a service with the framework gin.
package main

import (
	"net/http"
	"os"

	"github.com/gin-gonic/gin"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
	"github.com/gracefulgo/shutdown/httpserver"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

var addr, order = demo.Addr, demo.Order

// recipe

func start(m *shutdown.Manager) error {
	r := gin.New()
	r.Use(func(c *gin.Context) {
		httpserver.SetName(c.Request.Context(), c.Request.Method+" "+c.FullPath())
	})
	r.GET("/orders/:id", gin.WrapF(order))
	_, err := httpserver.Start(m, &http.Server{Addr: addr, Handler: r}) // instead of r.Run
	return err
}

// end

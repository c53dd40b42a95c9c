// Fiber is a service with the framework fiber, which is built on fasthttp.
package main

import (
	"net/http"
	"os"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

var addr = demo.Addr

func order(c fiber.Ctx) error {
	if err := demo.Work(c.Context(), c.Path()); err != nil {
		return fiber.NewError(http.StatusServiceUnavailable, err.Error())
	}
	return c.SendString("done\n")
}

// recipe

func start(m *shutdown.Manager) error {
	// Without timeouts a connection that sends nothing holds the drain.
	app := fiber.New(fiber.Config{ReadTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second})
	app.Get("/orders/:id", tracked(m), order)
	m.On(shutdown.Drain, "fiber", app.ShutdownWithContext)
	go func() {
		err := app.Listen(addr, fiber.ListenConfig{DisableStartupMessage: true})
		m.Begin(err) // without effect once the shutdown has begun
	}()
	return nil
}

func tracked(m *shutdown.Manager) fiber.Handler {
	return func(c fiber.Ctx) error {
		done, ok := m.Track(c.Method() + " " + c.FullPath())
		defer done()
		if !ok {
			return fiber.ErrServiceUnavailable
		}
		if m.Phase() != shutdown.Running {
			c.Set(fiber.HeaderConnection, "close")
		}
		c.SetContext(m.WorkContext())
		return c.Next()
	}
}

// end

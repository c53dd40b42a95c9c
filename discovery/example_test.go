package discovery_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/discovery"
)

// A printer is a Registrar that only prints.
type printer struct{}

func (printer) Register(_ context.Context, addr string) error {
	fmt.Println("registered", addr)
	return nil
}

func (printer) Deregister(_ context.Context, addr string) error {
	fmt.Println("deregistered", addr)
	return nil
}

func ExampleRegister() {
	m, err := shutdown.New(shutdown.Config{
		LameDuck: 100 * time.Millisecond, // longer than the polling interval of clients
		Signals:  map[os.Signal]shutdown.Action{},
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	m.On(shutdown.Drain, "http", func(context.Context) error {
		fmt.Println("port closed")
		return nil
	})
	if err := discovery.Register(context.Background(), m, printer{}, "10.0.0.7:8080"); err != nil {
		m.Begin(err)
	}

	m.Begin(nil) // or SIGTERM
	fmt.Println("error:", m.Wait())
	// Output:
	// registered 10.0.0.7:8080
	// deregistered 10.0.0.7:8080
	// port closed
	// error: <nil>
}

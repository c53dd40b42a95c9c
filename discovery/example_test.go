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

// A blackboard is a registry as small as it can be.
type blackboard struct{}

func (blackboard) Register(_ context.Context, addr string) error {
	fmt.Println("registered", addr)
	return nil
}

func (blackboard) Deregister(_ context.Context, addr string) error {
	fmt.Println("deregistered", addr)
	return nil
}

func ExampleRegister() {
	m, err := shutdown.New(shutdown.Config{
		LameDuck: 100 * time.Millisecond, // longer than clients go without looking
		Signals:  map[os.Signal]shutdown.Action{},
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	m.On(shutdown.Drain, "port", func(context.Context) error {
		fmt.Println("the port closes")
		return nil
	})
	if err := discovery.Register(context.Background(), m, blackboard{}, "10.0.0.7:8080"); err != nil {
		m.Begin(err)
	}

	m.Begin(nil) // or SIGTERM
	fmt.Println("ended:", m.Wait())
	// Output:
	// registered 10.0.0.7:8080
	// deregistered 10.0.0.7:8080
	// the port closes
	// ended: <nil>
}

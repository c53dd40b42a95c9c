package consul_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/discovery"
	"github.com/gracefulgo/shutdown/discovery/consul"
)

// agent stands for a Consul agent. It prints what changes.
func agent(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		fmt.Println(r.URL.Path)
	} else {
		fmt.Fprintln(w, "[]") // the catalog is empty
	}
}

func ExampleRegistrar() {
	server := httptest.NewServer(http.HandlerFunc(agent))
	defer server.Close()
	client, err := api.NewClient(&api.Config{Address: server.URL})
	if err != nil {
		log.Fatal(err)
	}
	m, err := shutdown.New(shutdown.Config{
		LameDuck: 200 * time.Millisecond,
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
	r := &consul.Registrar{
		Clients:     []*api.Client{client},
		Maintenance: 100 * time.Millisecond, // a part of the lame duck
	}
	orders := &api.AgentServiceRegistration{ID: "orders-1", Name: "orders", Address: "10.0.0.7", Port: 8080}
	if err := discovery.Register(context.Background(), m, r, orders); err != nil {
		m.Begin(err)
	}

	m.Begin(nil) // or SIGTERM
	fmt.Println("error:", m.Wait())
	// Output:
	// /v1/agent/service/register
	// /v1/agent/service/maintenance/orders-1
	// /v1/agent/service/deregister/orders-1
	// port closed
	// error: <nil>
}

package consul_test

import (
	"context"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/discovery"
	"github.com/gracefulgo/shutdown/discovery/consul"
	"github.com/gracefulgo/shutdown/httpserver"
)

func Example() {
	m, err := shutdown.New(shutdown.Config{LameDuck: time.Second}) // the gateway polls every 500 ms
	if err != nil {
		log.Fatal(err)
	}
	start := func() error {
		client, err := api.NewClient(api.DefaultConfig()) // the local agent, or CONSUL_HTTP_ADDR
		if err != nil {
			return err
		}
		if _, err := httpserver.Start(m, &http.Server{Addr: ":8080"}); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return discovery.Register(ctx, m, &consul.Registrar{Clients: []*api.Client{client}}, &api.AgentServiceRegistration{
			ID:      "orders-10.0.0.7-8080",
			Name:    "orders",
			Address: "10.0.0.7",
			Port:    8080,
		})
	}
	if err := start(); err != nil {
		m.Begin(err)
	}
	os.Exit(shutdown.ExitCode(m.Wait()))
}

package etcd_test

import (
	"context"
	"log"
	"net/http"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/discovery"
	"github.com/gracefulgo/shutdown/discovery/etcd"
	"github.com/gracefulgo/shutdown/httpserver"
)

func Example() {
	m, err := shutdown.New(shutdown.Config{LameDuck: time.Second}) // the gateway polls every 500 ms
	if err != nil {
		log.Fatal(err)
	}
	start := func() error {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{"10.0.0.1:2379", "10.0.0.2:2379"}, DialTimeout: 2 * time.Second})
		if err != nil {
			return err
		}
		m.On(shutdown.Close, "etcd", func(context.Context) error { return client.Close() })
		if _, err := httpserver.Start(m, &http.Server{Addr: ":8080"}); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return discovery.Register(ctx, m, &etcd.Registrar{Client: client}, etcd.Instance{
			Key:   "/services/orders/10.0.0.7:8080",
			Value: "10.0.0.7:8080",
		})
	}
	if err := start(); err != nil {
		m.Begin(err)
	}
	os.Exit(shutdown.ExitCode(m.Wait()))
}

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/discovery"
	"github.com/gracefulgo/shutdown/discovery/etcd"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/listener"
)

// When an instance deregisters.
const (
	deregistersFirst = "first, in Leave"
	deregistersLast  = "last, in Close"
)

const (
	whenVariable = "DISCOVERY_DEREGISTERS" // if it is set, the program is an instance
	etcdVariable = "DISCOVERY_ETCD"
	prefix       = "/services/orders/"

	// The gateway polls the registry at this interval, and sends requests to an
	// instance until a poll does not find it. The lame duck has to be longer.
	pollInterval = 50 * time.Millisecond
	lameDuck     = 8 * pollInterval
)

// instance is the main program of one instance of the service.
func instance(when, endpoint string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) // the parent process has died
	}()
	m, err := shutdown.New(shutdown.Config{GracePeriod: 30 * time.Second, LameDuck: lameDuck})
	if err != nil {
		slog.Error("wrong configuration", "error", err)
		os.Exit(1)
	}
	if err := start(m, when, endpoint); err != nil {
		m.Begin(err)
	}
	os.Exit(shutdown.ExitCode(m.Wait()))
}

func start(m *shutdown.Manager, when, endpoint string) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	m.On(shutdown.Close, "etcd", func(context.Context) error { return client.Close() })

	ln, err := listener.Listen(m.AcceptContext(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if _, err := httpserver.Serve(m, &http.Server{Handler: http.HandlerFunc(takeOrder)}, ln); err != nil {
		return err
	}
	// The instance is registered when its port is open.
	if err := register(m, when, client, ln.Addr()); err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	return nil
}

func register(m *shutdown.Manager, when string, client *clientv3.Client, addr net.Addr) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	registrar := &etcd.Registrar{Client: client}
	self := etcd.Instance{Key: prefix + addr.String(), Value: addr.String()}
	if when == deregistersFirst {
		return discovery.Register(ctx, m, registrar, self)
	}
	// The wrong way, for comparison: deregister during the cleanup.
	m.On(shutdown.Close, "registry", func(ctx context.Context) error { return registrar.Deregister(ctx, self) })
	return registrar.Register(ctx, self)
}

func takeOrder(w http.ResponseWriter, r *http.Request) {
	order, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	time.Sleep(2 * time.Millisecond)
	fmt.Fprintf(w, "%s is ready", order)
}

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

// When an instance leaves the registry.
const (
	leavesFirst = "first, in Leave"
	leavesLast  = "last, in Close"
)

const (
	leavesVariable = "DISCOVERY_LEAVES" // makes this program an instance
	etcdVariable   = "DISCOVERY_ETCD"
	prefix         = "/services/orders/"

	// The gateway looks at the registry that often, and goes on sending
	// requests here until it does. So that is what the lame duck is for.
	pollInterval = 50 * time.Millisecond
	lameDuck     = 8 * pollInterval
)

// instance is the main program of one instance of the service.
func instance(leaves, endpoint string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) // the parent has died, and nobody else would end this
	}()
	m, err := shutdown.New(shutdown.Config{GracePeriod: 30 * time.Second, LameDuck: lameDuck})
	if err != nil {
		slog.Error("the configuration is wrong", "err", err)
		os.Exit(1)
	}
	if err := start(m, leaves, endpoint); err != nil {
		m.Begin(err)
	}
	os.Exit(shutdown.ExitCode(m.Wait()))
}

func start(m *shutdown.Manager, leaves, endpoint string) error {
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
	// The port is open, so from here on the registry may know it.
	if err := register(m, leaves, client, ln.Addr()); err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	return nil
}

func register(m *shutdown.Manager, leaves string, client *clientv3.Client, addr net.Addr) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	registrar := &etcd.Registrar{Client: client}
	self := etcd.Instance{Key: prefix + addr.String(), Value: addr.String()}
	if leaves == leavesFirst {
		return discovery.Register(ctx, m, registrar, self)
	}
	// How not to do it: as one more thing to clean up at the end.
	m.On(shutdown.Close, "registry", func(ctx context.Context) error { return registrar.Deregister(ctx, self) })
	return registrar.Register(ctx, self)
}

func takeOrder(w http.ResponseWriter, r *http.Request) {
	order, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	time.Sleep(2 * time.Millisecond) // coffee takes its time
	fmt.Fprintf(w, "%s is ready", order)
}

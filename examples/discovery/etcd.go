package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/gracefulgo/shutdown/internal/loopback"
)

// A registry is an etcd in this process.
type registry struct {
	*embed.Etcd
	dir      string
	endpoint string
}

func startEtcd() (*registry, error) {
	addrs, err := loopback.FreeAddrs(2)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "discovery")
	if err != nil {
		return nil, err
	}
	r := &registry{dir: dir, endpoint: addrs[0]}
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	cfg.UnsafeNoFsync = true // the data is temporary
	clients, peers := []url.URL{{Scheme: "http", Host: addrs[0]}}, []url.URL{{Scheme: "http", Host: addrs[1]}}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = clients, clients
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = peers, peers
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	if r.Etcd, err = embed.StartEtcd(cfg); err != nil {
		return nil, fmt.Errorf("starting etcd: %w", errors.Join(err, os.RemoveAll(dir)))
	}
	select {
	case <-r.Server.ReadyNotify():
		return r, nil
	case <-time.After(2 * time.Minute):
		r.stop()
		return nil, errors.New("etcd is not ready after two minutes")
	}
}

func (r *registry) stop() {
	r.Close()
	_ = os.RemoveAll(r.dir) // a failure leaves files in the temporary directory
}

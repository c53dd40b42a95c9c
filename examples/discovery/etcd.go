package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// A registry is an etcd in this process.
type registry struct {
	*embed.Etcd
	dir      string
	endpoint string
}

func startEtcd() (*registry, error) {
	dir, err := os.MkdirTemp("", "discovery")
	if err != nil {
		return nil, err
	}
	r := &registry{dir: dir}
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	cfg.UnsafeNoFsync = true // the data is temporary
	var urls [2]url.URL
	for i := range urls {
		if urls[i], err = freeURL(); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = urls[:1], urls[:1]
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = urls[1:], urls[1:]
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	if r.Etcd, err = embed.StartEtcd(cfg); err != nil {
		return nil, fmt.Errorf("starting etcd: %w", errors.Join(err, os.RemoveAll(dir)))
	}
	r.endpoint = urls[0].Host
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

// freeURL returns the URL of a free port of the loopback interface. The port is below
// the range of ephemeral ports, so that it stays free.
func freeURL() (url.URL, error) {
	var last error
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.N(20_000))
		ln, err := net.Listen("tcp", addr)
		if err == nil {
			return url.URL{Scheme: "http", Host: addr}, ln.Close()
		}
		last = err
	}
	return url.URL{}, fmt.Errorf("no port is free: %w", last)
}

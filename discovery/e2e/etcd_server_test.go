package e2e

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/gracefulgo/shutdown/internal/loopback"
)

// An etcdServer is an etcd of one member in this process.
type etcdServer struct {
	t             *testing.T
	client, peers url.URL
	dir           string
	etcd          *embed.Etcd // nil if it is stopped
}

func startEtcd(t *testing.T) *etcdServer {
	t.Helper()
	addrs, err := loopback.FreeAddrs(2) // a restart needs them again
	require.NoError(t, err)
	s := &etcdServer{t: t, dir: t.TempDir()}
	s.client = url.URL{Scheme: "http", Host: addrs[0]}
	s.peers = url.URL{Scheme: "http", Host: addrs[1]}
	t.Cleanup(s.stop)
	s.start()
	return s
}

func (s *etcdServer) start() {
	s.t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir = s.dir
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{s.client}, []url.URL{s.client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{s.peers}, []url.URL{s.peers}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	cfg.UnsafeNoFsync = true
	cfg.TickMs, cfg.ElectionMs = 20, 200 // for leases of one second
	started, err := embed.StartEtcd(cfg)
	require.NoError(s.t, err)
	s.etcd = started
	select {
	case <-started.Server.ReadyNotify():
	case <-time.After(startPatience):
		s.t.Fatal("etcd is not ready")
	}
}

func (s *etcdServer) stop() {
	if s.etcd != nil {
		s.etcd.Close()
		s.etcd = nil
	}
}

// forget restarts etcd without its data.
func (s *etcdServer) forget() {
	s.stop()
	s.dir = s.t.TempDir()
	s.start()
}

// connect returns a client of endpoints, which by default are those of this etcd.
func (s *etcdServer) connect(endpoints ...string) *clientv3.Client {
	s.t.Helper()
	return s.dial(s.t, endpoints...)
}

// dial is connect for a test inside the one that started the server.
func (s *etcdServer) dial(t *testing.T, endpoints ...string) *clientv3.Client {
	t.Helper()
	if len(endpoints) == 0 {
		endpoints = []string{s.client.Host}
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

const prefix = "/services/orders/"

// listEtcd returns the values of all entries.
func listEtcd(client *clientv3.Client) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		found, err := client.Get(ctx, prefix, clientv3.WithPrefix())
		if err != nil {
			return nil, err
		}
		addrs := []string{}
		for _, kv := range found.Kvs {
			addrs = append(addrs, string(kv.Value))
		}
		return addrs, nil
	}
}

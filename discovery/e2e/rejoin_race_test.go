package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/discovery/consul"
	"github.com/gracefulgo/shutdown/discovery/etcd"
)

const (
	rejoiners = 50
	ttl       = 3 * time.Second // with less, 50 renewals are too much for a slow machine
	renewal   = ttl / 3
)

// A rejoiner is a service that is about to register again, because the registry has
// lost its entry.
type rejoiner struct {
	*shutdown.Manager
	registered time.Time
}

// endAroundTheRenewal begins the shutdown of each of ms at a slightly different time,
// around the time at which its instance is registered again.
func endAroundTheRenewal(t *testing.T, ms []rejoiner) {
	var wg sync.WaitGroup
	for n, m := range ms {
		next := time.Since(m.registered).Truncate(renewal) + renewal
		around := m.registered.Add(next + time.Duration(n-rejoiners/4)*200*time.Microsecond)
		wg.Go(func() {
			time.Sleep(time.Until(around))
			m.Begin(nil)
			_ = m.Wait()
		})
	}
	wg.Wait()
	for _, m := range ms {
		require.NoError(t, m.Wait())
	}
	time.Sleep(2 * renewal) // a registration after the deregistration shows here
}

func TestEtcdAShutdownDuringAReRegistrationLeavesNoEntry(t *testing.T) {
	client := startEtcd(t).connect()
	var ms []rejoiner
	for n := range rejoiners {
		m := newManager(t, shutdown.Config{GracePeriod: enough})
		require.NoError(t, register(t.Context(), m, &etcd.Registrar{Client: client, TTL: ttl, Logger: silent}, orders(fmt.Sprint(n))))
		ms = append(ms, rejoiner{m, time.Now()})
	}
	for _, kv := range must(client.Get(t.Context(), prefix, clientv3.WithPrefix())).Kvs {
		_, _ = client.Revoke(t.Context(), clientv3.LeaseID(kv.Lease))
	}

	endAroundTheRenewal(t, ms)

	require.Empty(t, must(listEtcd(client)(t.Context())))
}

func TestConsulAShutdownDuringAReRegistrationLeavesNoEntry(t *testing.T) {
	client := startConsul(t).connect()
	var ms []rejoiner
	for n := range rejoiners {
		m := newManager(t, shutdown.Config{GracePeriod: enough})
		r := &consul.Registrar{Clients: []*api.Client{client}, TTL: ttl, Logger: silent}
		require.NoError(t, register(t.Context(), m, r, ordersAt(t, fmt.Sprintf("127.0.0.1:%d", n+1))))
		ms = append(ms, rejoiner{m, time.Now()})
	}
	for id := range must(client.Agent().Services()) {
		require.NoError(t, client.Agent().ServiceDeregister(id))
	}

	endAroundTheRenewal(t, ms)

	require.Empty(t, must(client.Agent().Services()))
	require.Empty(t, must(listConsul(client)(t.Context())))
}

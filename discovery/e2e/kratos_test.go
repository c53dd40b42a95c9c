package e2e

import (
	"testing"
	"time"

	kratosetcd "github.com/go-kratos/kratos/contrib/registry/etcd/v2"
	"github.com/go-kratos/kratos/v2/registry"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/discovery"
)

// Every registrar of go-kratos is a Registrar.
var _ discovery.Registrar[*registry.ServiceInstance] = registry.Registrar(nil)

func TestTheEtcdRegistrarOfKratosCanBeUsedAsItIs(t *testing.T) {
	client := startEtcd(t).connect()
	r := kratosetcd.New(client)
	find := func() []*registry.ServiceInstance { return must(r.GetService(t.Context(), "orders")) }
	m := newManager(t, shutdown.Config{GracePeriod: enough})
	instance := &registry.ServiceInstance{ID: "1", Name: "orders", Endpoints: []string{"http://127.0.0.1:8080"}}

	require.NoError(t, discovery.Register(t.Context(), m, r, instance))

	require.Len(t, find(), 1)
	m.Begin(nil)
	require.NoError(t, m.Wait())
	require.Empty(t, find())
	require.Equal(t, "etcd.Registry orders-1", leaveStep(t, m).Name)
}

func TestAShutdownDuringARegistrationWithKratosLeavesNoEntry(t *testing.T) {
	client := startEtcd(t).connect()
	for n := range 50 {
		m := newManager(t, shutdown.Config{GracePeriod: enough})
		r := kratosetcd.New(client)
		instance := &registry.ServiceInstance{ID: "1", Name: "orders"}
		time.AfterFunc(time.Duration(n)*40*time.Microsecond, func() { m.Begin(nil) })

		_ = discovery.Register(t.Context(), m, r, instance) // it may succeed or fail

		require.NoError(t, m.Wait())
		left, err := client.Get(t.Context(), "/microservices/", clientv3.WithPrefix())
		require.NoError(t, err)
		require.Empty(t, left.Kvs)
	}
}

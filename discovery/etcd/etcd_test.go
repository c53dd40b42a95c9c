package etcd_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/gracefulgo/shutdown/discovery"
	"github.com/gracefulgo/shutdown/discovery/etcd"
	"github.com/gracefulgo/shutdown/internal/leaks"
)

// The tests that need an etcd server are in discovery/e2e, so that this module does
// not require it.

var _ discovery.Registrar[etcd.Instance] = (*etcd.Registrar)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(leaks.Patient(m, goleak.Find)) }

// unconnected returns a client of an address on which no server listens.
func unconnected(t *testing.T) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"127.0.0.1:1"}, Logger: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestAWrongConfigurationIsAnErrorThatNamesTheFieldAndTheValue(t *testing.T) {
	client := unconnected(t)
	instance := etcd.Instance{Key: "/services/orders/1", Value: "10.0.0.7:8080"}
	for _, test := range []struct {
		r    *etcd.Registrar
		i    etcd.Instance
		want string
	}{
		{&etcd.Registrar{}, instance, "etcd: Registrar.Client is nil"},
		{&etcd.Registrar{Client: client, TTL: 1500 * time.Millisecond}, instance, "etcd: Registrar.TTL is 1.5s, and must be whole seconds"},
		{&etcd.Registrar{Client: client, TTL: -time.Second}, instance, "etcd: Registrar.TTL is -1s, and must be whole seconds"},
		{&etcd.Registrar{Client: client}, etcd.Instance{Value: "10.0.0.7:8080"}, `etcd: Instance.Key is empty (its value is "10.0.0.7:8080")`},
	} {
		require.EqualError(t, test.r.Register(t.Context(), test.i), test.want)
		require.NoError(t, test.r.Deregister(t.Context(), test.i), "nothing is registered")
	}
}

// Client.Grant and etcdctl say "context deadline exceeded" and no more (etcd-io/etcd#9619).
func TestARegistrationThatFailsSaysWhyEtcdIsUnreachable(t *testing.T) {
	client := unconnected(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()

	err := (&etcd.Registrar{Client: client}).Register(ctx, etcd.Instance{Key: "/services/orders/1"})

	require.ErrorContains(t, err, "etcd: register /services/orders/1: ask for a lease: ")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "dial tcp 127.0.0.1:1: ")
}

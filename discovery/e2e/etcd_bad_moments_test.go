package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/gracefulgo/shutdown/discovery/etcd"
)

// intercepted returns a client that calls f instead of method.
func (s *etcdServer) intercepted(method string, f func(call func() error) error) *clientv3.Client {
	s.t.Helper()
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{s.client.Host},
		Logger:    zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(
			func(ctx context.Context, m string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				call := func() error { return invoke(ctx, m, req, reply, cc, opts...) }
				if strings.HasSuffix(m, "/"+method) {
					return f(call)
				}
				return call()
			})},
	})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestEtcdAKeyThatStillExistsIsAnError(t *testing.T) {
	server := startEtcd(t)
	var lying atomic.Bool
	lying.Store(true)
	client := server.intercepted("LeaseRevoke", func(call func() error) error {
		if lying.Load() {
			return nil // without revoking the lease
		}
		return call()
	})
	r := &etcd.Registrar{Client: client, Logger: silent}
	require.NoError(t, r.Register(t.Context(), orders("a")))

	require.ErrorContains(t, r.Deregister(t.Context(), orders("a")), "etcd: deregister /services/orders/a: read the key back: it still exists")

	lying.Store(false)
	require.NoError(t, r.Deregister(t.Context(), orders("a")), "it can be tried again")
	require.Empty(t, must(listEtcd(client)(t.Context())))
}

// If the write takes effect only after the deregistration, etcd refuses it.
func TestEtcdDeregistrationWaitsForAReRegistration(t *testing.T) {
	server := startEtcd(t)
	hold := make(chan struct{})
	var puts atomic.Int32
	client := server.intercepted("Put", func(call func() error) error {
		if puts.Add(1) > 1 {
			<-hold // ignores its context
		}
		return call()
	})
	r := &etcd.Registrar{Client: client, TTL: time.Second, Logger: silent}
	require.NoError(t, r.Register(t.Context(), orders("a")))
	server.forget()
	require.Eventually(t, func() bool { return puts.Load() == 2 }, patience, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()

	require.ErrorContains(t, r.Deregister(ctx, orders("a")), "waiting for the renewal to stop")

	close(hold)
	require.NoError(t, r.Deregister(t.Context(), orders("a")))
	time.Sleep(500 * time.Millisecond)
	require.Empty(t, must(listEtcd(client)(t.Context())))
}

func TestEtcdARegistrationWithoutAReplyCanBeDeregistered(t *testing.T) {
	server := startEtcd(t)
	client := server.intercepted("Put", func(call func() error) error {
		if err := call(); err != nil {
			return err
		}
		return context.DeadlineExceeded // the reply was lost
	})
	r := &etcd.Registrar{Client: client, Logger: silent}
	require.Error(t, r.Register(t.Context(), orders("a")))
	require.Len(t, must(listEtcd(client)(t.Context())), 1)

	require.NoError(t, r.Deregister(t.Context(), orders("a")))

	require.Empty(t, must(listEtcd(client)(t.Context())))
}

// The lease is kept for the next attempt, so a lease that can be renewed does not
// mean that the key exists.
func TestEtcdAReRegistrationThatGotALeaseButDidNotWriteTheKeyIsRetried(t *testing.T) {
	server := startEtcd(t)
	var puts atomic.Int32
	client := server.intercepted("Put", func(call func() error) error {
		if n := puts.Add(1); n > 1 && n < 6 {
			return errors.New("no leader")
		}
		return call()
	})
	r := &etcd.Registrar{Client: client, TTL: time.Second, Logger: silent}
	require.NoError(t, r.Register(t.Context(), orders("a")))
	server.forget()

	require.Eventually(t, finds(listEtcd(client), 1), patience, 10*time.Millisecond)

	require.NoError(t, r.Deregister(t.Context(), orders("a")))
	require.Empty(t, must(listEtcd(client)(t.Context())))
}

// The select statement chooses at random among channels that are ready.
func TestEtcdADeregistrationWithoutTimeStopsTheKeepAlive(t *testing.T) {
	client := startEtcd(t).connect()
	r := &etcd.Registrar{Client: client, TTL: time.Second, Logger: silent}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range 20 {
		require.NoError(t, r.Register(t.Context(), orders(fmt.Sprint(n))))
		require.Error(t, r.Deregister(ctx, orders(fmt.Sprint(n))))
	}

	require.Eventually(t, finds(listEtcd(client), 0), patience, 10*time.Millisecond, "the leases expire")
}

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

// intercepted returns a client whose calls to method go through f.
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

func TestEtcdAKeyThatIsStillThereIsAnError(t *testing.T) {
	server := startEtcd(t)
	var lying atomic.Bool
	lying.Store(true)
	client := server.intercepted("LeaseRevoke", func(call func() error) error {
		if lying.Load() {
			return nil // as if it had been done
		}
		return call()
	})
	r := &etcd.Registrar{Client: client, Logger: silent}
	require.NoError(t, r.Register(t.Context(), orders("a")))

	require.ErrorContains(t, r.Deregister(t.Context(), orders("a")), "etcd: deregister /services/orders/a: read the key back: it still exists")

	lying.Store(false)
	require.NoError(t, r.Deregister(t.Context(), orders("a")), "and may be tried again")
	require.Empty(t, must(listEtcd(client)(t.Context())))
}

// A registration that the keep-alive has under way is waited for; and one that
// comes true only after the deregistration is refused by etcd.
func TestEtcdTheKeepAliveHasEndedBeforeTheDeregistration(t *testing.T) {
	server := startEtcd(t)
	hold := make(chan struct{})
	var puts atomic.Int32
	client := server.intercepted("Put", func(call func() error) error {
		if puts.Add(1) > 1 {
			<-hold // it does not listen to its context
		}
		return call()
	})
	r := &etcd.Registrar{Client: client, TTL: time.Second, Logger: silent}
	require.NoError(t, r.Register(t.Context(), orders("a")))
	server.forget()
	require.Eventually(t, func() bool { return puts.Load() == 2 }, patience, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()

	require.ErrorContains(t, r.Deregister(ctx, orders("a")), "waiting for the keep-alive to end")

	close(hold)
	require.NoError(t, r.Deregister(t.Context(), orders("a")))
	time.Sleep(500 * time.Millisecond)
	require.Empty(t, must(listEtcd(client)(t.Context())))
}

func TestEtcdARegistrationWithoutAReplyIsTakenBack(t *testing.T) {
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

// The lease is kept for the next attempt, so the lease alone says nothing about the
// key.
func TestEtcdAReRegistrationThatGotALeaseButNotTheKeyIsTriedAgain(t *testing.T) {
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

// Which of several things that are ready a select takes is left to chance.
func TestEtcdADeregistrationWithoutTimeStopsTheKeepAlive(t *testing.T) {
	client := startEtcd(t).connect()
	r := &etcd.Registrar{Client: client, TTL: time.Second, Logger: silent}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range 20 {
		require.NoError(t, r.Register(t.Context(), orders(fmt.Sprint(n))))
		require.Error(t, r.Deregister(ctx, orders(fmt.Sprint(n))))
	}

	require.Eventually(t, finds(listEtcd(client), 0), patience, 10*time.Millisecond, "the leases end")
}

package e2e

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/discovery/etcd"
)

func etcdUnderTest(t *testing.T) registryUnderTest {
	client := startEtcd(t).connect()
	return registryUnderTest{
		register: func(ctx context.Context, _ *testing.T, m *shutdown.Manager, addr string) error {
			return register(ctx, m, &etcd.Registrar{Client: client, Logger: silent}, orders(addr))
		},
		registerOnly: func(ctx context.Context, _ *testing.T, addr string) (func(context.Context) error, error) {
			r := &etcd.Registrar{Client: client, Logger: silent}
			return func(ctx context.Context) error { return r.Deregister(ctx, orders(addr)) }, r.Register(ctx, orders(addr))
		},
		list: listEtcd(client),
	}
}

func orders(addr string) etcd.Instance { return etcd.Instance{Key: prefix + addr, Value: addr} }

func TestEtcdTwentyRestartsLoseNoRequest(t *testing.T) { etcdUnderTest(t).losesNothing(t) }

func TestEtcdDeregisteringInCloseLosesRequests(t *testing.T) { etcdUnderTest(t).losesSome(t) }

func TestEtcdAShutdownDuringTheRegistrationLeavesNoEntry(t *testing.T) {
	etcdUnderTest(t).leavesNoEntry(t, 100, 2*time.Millisecond)
}

// In virtual time, which does not advance during a call to etcd, each hook returns
// when its time is over, however slow the machine is.
func TestEtcdStoppedBeforeTheShutdownIsReportedAndDelaysOnlyLeave(t *testing.T) {
	server := startEtcd(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // in real time
		defer close(stopped)
		<-stop
		server.stop()
	}()
	synctest.Test(t, func(t *testing.T) {
		client := server.dial(t)
		m := newManager(t, shutdown.Config{GracePeriod: enough})
		require.NoError(t, register(t.Context(), m, &etcd.Registrar{Client: client, TTL: 5 * time.Second, Logger: silent}, orders("a")))
		done := others(m)
		close(stop)
		<-stopped

		begin := time.Now()
		m.Begin(nil)
		err := m.Wait()

		var hook *shutdown.HookError
		require.ErrorAs(t, err, &hook)
		require.Equal(t, shutdown.Leave, hook.Phase)
		require.ErrorContains(t, err, `leave hook "etcd.Registrar /services/orders/a"`)
		require.ErrorContains(t, err, "its lease ends in 5s at the latest")
		require.True(t, done())
		require.Less(t, time.Since(begin), m.Report().Timeout)
		require.ErrorContains(t, leaveStep(t, m).Err, "revoke its lease")
		require.False(t, leaveStep(t, m).Abandoned)
	})
}

// The client should be closed in a Close hook.
func TestEtcdAClientClosedTooEarlyIsReportedAndDelaysOnlyLeave(t *testing.T) {
	server := startEtcd(t)
	synctest.Test(t, func(t *testing.T) {
		client := server.dial(t)
		m := newManager(t, shutdown.Config{GracePeriod: enough})
		var log strings.Builder
		r := &etcd.Registrar{Client: client, TTL: time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		require.NoError(t, register(t.Context(), m, r, orders("a")))
		done := others(m)
		require.NoError(t, client.Close())
		time.Sleep(time.Second) // a renewal fails as well
		synctest.Wait()
		require.Contains(t, log.String(), "entry not renewed")

		begin := time.Now()
		m.Begin(nil)
		err := m.Wait()

		require.ErrorContains(t, err, "revoke its lease")
		require.True(t, done())
		require.Less(t, time.Since(begin), m.Report().Timeout)
		require.False(t, leaveStep(t, m).Abandoned)
	})
}

func TestEtcdRestartedDuringTheShutdownIsRetried(t *testing.T) {
	t.Parallel() // it is slow
	server := startEtcd(t)
	var failed atomic.Int32
	client := server.intercepted("LeaseRevoke", func(call func() error) error {
		err := call()
		if err != nil {
			failed.Add(1)
		}
		return err
	})
	m := newManager(t, shutdown.Config{GracePeriod: enough})
	require.NoError(t, register(t.Context(), m, &etcd.Registrar{Client: client, TTL: 300 * time.Second, Logger: silent}, orders("a")))
	server.stop()

	m.Begin(nil)
	require.Eventually(t, func() bool { return failed.Load() > 0 }, patience, time.Millisecond)
	require.Equal(t, shutdown.Leave, m.Phase())
	server.start()

	require.NoError(t, m.Wait())
	require.Empty(t, must(listEtcd(client)(t.Context())))
}

func TestEtcdALostLeaseIsReplaced(t *testing.T) {
	for name, lose := range map[string]func(*etcdServer, *clientv3.Client, clientv3.LeaseID){
		"revoked": func(_ *etcdServer, client *clientv3.Client, lease clientv3.LeaseID) {
			_, _ = client.Revoke(context.Background(), lease) // an error means that it has expired
		},
		"with all data": func(server *etcdServer, _ *clientv3.Client, _ clientv3.LeaseID) { server.forget() },
	} {
		t.Run(name, func(t *testing.T) {
			server := startEtcd(t)
			client := server.connect()
			m := newManager(t, shutdown.Config{GracePeriod: enough})
			require.NoError(t, register(t.Context(), m, &etcd.Registrar{Client: client, TTL: time.Second, Logger: silent}, orders("a")))

			old := leaseOf(client, "a")
			lose(server, client, old)
			require.Eventually(t, func() bool {
				now := leaseOf(client, "a")
				return now != clientv3.NoLease && now != old
			}, patience, 10*time.Millisecond)

			m.Begin(nil)
			require.NoError(t, m.Wait())
			require.Empty(t, must(listEtcd(client)(t.Context())))
		})
	}
}

// leaseOf returns NoLease if the instance is not found.
func leaseOf(client *clientv3.Client, addr string) clientv3.LeaseID {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	found, err := client.Get(ctx, prefix+addr)
	if err != nil || len(found.Kvs) == 0 {
		return clientv3.NoLease
	}
	return clientv3.LeaseID(found.Kvs[0].Lease)
}

func TestEtcdTheLeaseIsRenewedUntilTheShutdown(t *testing.T) {
	t.Parallel() // it is slow: the TTL is long, so that the lease survives on a busy machine
	client := startEtcd(t).connect()
	m := newManager(t, shutdown.Config{GracePeriod: enough})
	const ttl = 9 * time.Second
	require.NoError(t, register(t.Context(), m, &etcd.Registrar{Client: client, TTL: ttl, Logger: silent}, orders("a")))
	lease := leaseOf(client, "a")

	time.Sleep(ttl * 3 / 2)

	left := must(client.TimeToLive(t.Context(), lease))
	require.NotEqual(t, int64(-1), left.TTL, "the same lease, after one and a half TTLs")
	require.Equal(t, lease, leaseOf(client, "a"))
	m.Begin(nil)
	require.NoError(t, m.Wait())
	time.Sleep(ttl / 2)
	require.Empty(t, must(listEtcd(client)(t.Context())), "nothing registers it again")
}

func TestEtcdAnEndpointThatHangsUsesOnlyAShareOfTheTime(t *testing.T) {
	server := startEtcd(t)
	one, two := startProxy(t, server.client.Host), startProxy(t, server.client.Host)
	client := server.connect(one.addr, two.addr)
	m := newManager(t, shutdown.Config{GracePeriod: patience})
	require.NoError(t, register(t.Context(), m, &etcd.Registrar{Client: client, TTL: 300 * time.Second, Logger: silent}, orders("a")))
	const handshake = 200               // at least the bytes of a connection's handshake
	require.Eventually(t, func() bool { // until both are in use
		_, err := client.Get(t.Context(), "x")
		return err == nil && one.bytes.Load() > handshake && two.bytes.Load() > handshake
	}, patience, time.Millisecond)
	one.freeze()

	m.Begin(nil)
	require.NoError(t, m.Wait())

	require.Empty(t, must(listEtcd(server.connect())(t.Context())))
}

func TestEtcdASuccessorWithTheSameKeyIsNotDeleted(t *testing.T) {
	client := startEtcd(t).connect()
	old, successor := newManager(t, shutdown.Config{GracePeriod: enough}), newManager(t, shutdown.Config{GracePeriod: enough})
	require.NoError(t, register(t.Context(), old, &etcd.Registrar{Client: client, Logger: silent}, orders("a")))
	require.NoError(t, register(t.Context(), successor, &etcd.Registrar{Client: client, Logger: silent}, orders("a")))

	old.Begin(nil)
	require.NoError(t, old.Wait())
	require.Len(t, must(listEtcd(client)(t.Context())), 1)

	successor.Begin(nil)
	require.NoError(t, successor.Wait())
	require.Empty(t, must(listEtcd(client)(t.Context())))
}

func TestEtcdRegisteringAnInstanceTwiceIsAnErrorAndRemovesIt(t *testing.T) {
	client := startEtcd(t).connect()
	m := newManager(t, shutdown.Config{GracePeriod: enough})
	r := &etcd.Registrar{Client: client, Logger: silent}
	require.NoError(t, register(t.Context(), m, r, orders("a")))

	require.ErrorContains(t, register(t.Context(), m, r, orders("a")), "it is registered already")

	require.Empty(t, must(listEtcd(client)(t.Context())), "an error means that it is not registered")
	m.Begin(nil)
	require.NoError(t, m.Wait())
}

func TestEtcdUnreachableIsAnErrorBeforeTheContextEnds(t *testing.T) {
	server := startEtcd(t)
	client := server.connect()
	server.stop()
	m := newManager(t, shutdown.Config{GracePeriod: enough})
	r := &etcd.Registrar{Client: client, Logger: silent}

	inASecond := func(t *testing.T, r *etcd.Registrar) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorContains(t, r.Register(ctx, orders("a")), "etcd: register /services/orders/a: ask for a lease: ")
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		inASecond(t, &etcd.Registrar{Client: server.dial(t), Logger: silent})
		require.LessOrEqual(t, time.Since(start), time.Second, "not two attempts of 5 s")
	})
	inASecond(t, r)
	server.start()
	require.NoError(t, register(t.Context(), m, r, orders("a")), "it can be tried again")
	require.ErrorContains(t, r.Register(t.Context(), orders("a")), "it is registered already")
	m.Begin(nil)
	require.NoError(t, m.Wait())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

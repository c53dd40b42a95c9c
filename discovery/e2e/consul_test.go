package e2e

import (
	"context"
	"maps"
	"net"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/discovery/consul"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

func consulUnderTest(t *testing.T) registryUnderTest {
	client := startConsul(t).connect()
	registrar := func() *consul.Registrar {
		return &consul.Registrar{Clients: []*api.Client{client}, Logger: silent}
	}
	var last time.Time // see registryUnderTest.cut
	return registryUnderTest{
		register: func(ctx context.Context, t *testing.T, m *shutdown.Manager, addr string) error {
			return register(ctx, m, cutRecorder{registrar(), &last}, ordersAt(t, addr))
		},
		registerOnly: func(ctx context.Context, t *testing.T, addr string) (func(context.Context) error, error) {
			r, i := registrar(), ordersAt(t, addr)
			return func(ctx context.Context) error { return r.Deregister(ctx, i) }, r.Register(ctx, i)
		},
		list: listConsul(client),
		cut:  func() time.Time { return last },
	}
}

// A cutRecorder records when a registration was cut off.
type cutRecorder struct {
	*consul.Registrar
	at *time.Time
}

func (r cutRecorder) Register(ctx context.Context, i *api.AgentServiceRegistration) error {
	err := r.Registrar.Register(ctx, i)
	*r.at = time.Time{}
	if ctx.Err() != nil {
		*r.at = time.Now()
	}
	return err
}

func ordersAt(t *testing.T, addr string) *api.AgentServiceRegistration {
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	return &api.AgentServiceRegistration{ID: "orders-" + port, Name: "orders", Address: host, Port: n}
}

const somewhere = "127.0.0.1:1"

func TestConsulTwentyRestartsLoseNoRequest(t *testing.T) { consulUnderTest(t).losesNothing(t) }

func TestConsulDeregisteringInCloseLosesRequests(t *testing.T) { consulUnderTest(t).losesSome(t) }

func TestConsulAShutdownDuringTheRegistrationLeavesNoEntry(t *testing.T) {
	consulUnderTest(t).leavesNoEntry(t, 100, 5*time.Millisecond)
}

// In virtual time, which does not advance during a call to Consul, each hook returns
// when its time is over, however slow the machine is.
func TestConsulKilledBeforeTheShutdownIsReportedAndDelaysOnlyLeave(t *testing.T) {
	server := startConsul(t)
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{GracePeriod: enough})
		r := &consul.Registrar{Clients: []*api.Client{server.connect()}, Logger: silent}
		require.NoError(t, register(t.Context(), m, r, ordersAt(t, somewhere)))
		done := others(m)
		server.kill()

		begin := time.Now()
		m.Begin(nil)
		err := m.Wait()

		var hook *shutdown.HookError
		require.ErrorAs(t, err, &hook)
		require.Equal(t, shutdown.Leave, hook.Phase)
		require.ErrorContains(t, err, "consul: deregister orders-1: ")
		require.ErrorContains(t, err, "connection refused")
		require.True(t, done())
		require.Less(t, time.Since(begin), m.Report().Timeout)
		require.ErrorContains(t, leaveStep(t, m).Err, "connection refused")
		require.False(t, leaveStep(t, m).Abandoned)
	})
}

func TestConsulRestartedWithoutItsDataGetsTheInstanceAgain(t *testing.T) {
	for name, checks := range map[string]api.AgentServiceChecks{
		"TTL":  nil,
		"HTTP": {{HTTP: "http://127.0.0.1:1/", Interval: "1h", Status: api.HealthPassing}},
	} {
		t.Run(name, func(t *testing.T) {
			server := startConsul(t)
			list := listConsul(server.connect())
			m := newManager(t, shutdown.Config{GracePeriod: enough})
			r := &consul.Registrar{Clients: []*api.Client{server.connect()}, TTL: 9 * time.Second, Logger: silent}
			i := ordersAt(t, somewhere)
			i.Checks = checks
			require.NoError(t, register(t.Context(), m, r, i))
			require.Len(t, must(list(t.Context())), 1, "passing from the start")

			server.kill()
			server.start()
			require.Eventually(t, finds(list, 1), patience, 10*time.Millisecond)

			m.Begin(nil)
			require.NoError(t, m.Wait())
			require.Empty(t, must(list(t.Context())))
		})
	}
}

func TestConsulAnInstanceMayHaveItsOwnCheck(t *testing.T) {
	client := startConsul(t).connect()
	s := startService(t, 0)
	r := &consul.Registrar{Clients: []*api.Client{client}, Logger: silent}
	i := ordersAt(t, s.addr)
	i.Check = &api.AgentServiceCheck{HTTP: "http://" + s.addr, Interval: "100ms"}

	require.NoError(t, register(t.Context(), s.Manager, r, i))

	require.Eventually(t, finds(listConsul(client), 1), patience, 10*time.Millisecond)
	require.Len(t, must(client.Agent().Checks()), 1, "and no other check")
	require.NoError(t, s.end())
	require.Empty(t, must(client.Agent().Services()))
}

func TestConsulTheTTLCheckIsUpdatedUntilTheShutdown(t *testing.T) {
	t.Parallel() // it is slow: the TTL is long, so that the check survives on a busy machine
	server := startConsul(t)
	client := server.connect()
	m := newManager(t, shutdown.Config{GracePeriod: enough})
	const ttl = 9 * time.Second
	r := &consul.Registrar{Clients: []*api.Client{client}, TTL: ttl, Logger: silent}
	require.NoError(t, register(t.Context(), m, r, ordersAt(t, somewhere)))

	for end := time.Now().Add(ttl * 3 / 2); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		require.Len(t, must(listConsul(client)(t.Context())), 1)
	}

	m.Begin(nil)
	require.NoError(t, m.Wait())
	time.Sleep(ttl / 2)
	require.Empty(t, must(client.Agent().Services()), "nothing registers it again")
}

func TestConsulAnInstanceThatCrashesBecomesCritical(t *testing.T) {
	server := startConsul(t)
	client := server.connect()
	dying := ordersAt(t, somewhere)
	p := startProxy(t, server.addr)
	r := &consul.Registrar{Clients: []*api.Client{server.connect(p.addr)}, TTL: time.Second, Logger: silent}
	require.NoError(t, r.Register(t.Context(), dying))

	p.freeze() // as if the instance had crashed

	require.Eventually(t, finds(listConsul(client), 0), patience, 20*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_ = r.Deregister(ctx, dying) // stops the renewal
}

func TestConsulMaintenanceModeComesBeforeDeregistration(t *testing.T) {
	t.Parallel() // it is slow
	server := startConsul(t)
	client := server.connect()
	m := newManager(t, shutdown.Config{GracePeriod: enough})
	const maintenance = 8 * time.Second
	r := &consul.Registrar{Clients: []*api.Client{client}, Maintenance: maintenance, Logger: silent}
	require.NoError(t, register(t.Context(), m, r, ordersAt(t, somewhere)))
	all := func() []*api.ServiceEntry {
		found, _, err := client.Health().Service("orders", "", false, nil)
		require.NoError(t, err)
		return found
	}

	begin := time.Now()
	m.Begin(nil)
	require.Eventually(t, finds(listConsul(client), 0), patience, 5*time.Millisecond)
	found := all()
	require.Len(t, found, 1, "in maintenance mode, and registered")
	require.Equal(t, api.HealthMaint, found[0].Checks.AggregatedStatus())
	var reasons []string
	for _, check := range found[0].Checks {
		reasons = append(reasons, check.Notes)
	}
	require.Contains(t, reasons, "draining: this instance is shutting down")

	require.NoError(t, m.Wait())
	require.GreaterOrEqual(t, time.Since(begin), maintenance)
	require.Empty(t, all())
}

func TestConsulRegistrationEndsTheMaintenanceModeOfAPredecessor(t *testing.T) {
	client := startConsul(t).connect()
	m := newManager(t, shutdown.Config{GracePeriod: enough})
	i := ordersAt(t, somewhere)
	require.NoError(t, client.Agent().ServiceRegister(i)) // by a predecessor that was killed
	require.NoError(t, client.Agent().EnableServiceMaintenance(i.ID, "draining"))
	require.Empty(t, must(listConsul(client)(t.Context())))

	require.NoError(t, register(t.Context(), m, &consul.Registrar{Clients: []*api.Client{client}, Logger: silent}, i))

	require.Len(t, must(listConsul(client)(t.Context())), 1)
	m.Begin(nil)
	require.NoError(t, m.Wait())
}

func TestConsulEachClientIsTried(t *testing.T) {
	server := startConsul(t)
	unreachable := server.connect(must(loopback.FreeAddr()))
	first, second := startProxy(t, server.addr), startProxy(t, server.addr)
	m := newManager(t, shutdown.Config{GracePeriod: patience})
	r := &consul.Registrar{
		Clients: []*api.Client{unreachable, server.connect(first.addr), server.connect(second.addr)},
		Logger:  silent,
	}
	require.NoError(t, register(t.Context(), m, r, ordersAt(t, somewhere)), "although the first client is refused")
	require.NotZero(t, first.bytes.Load())
	require.Zero(t, second.bytes.Load())
	first.freeze()

	m.Begin(nil)
	require.NoError(t, m.Wait(), "although the client that registered it hangs")

	require.Empty(t, must(server.connect().Agent().Services()))
	require.Empty(t, must(listConsul(server.connect())(t.Context())))
}

func TestConsulUnreachableIsAnErrorAndDoesNotDelayTheShutdown(t *testing.T) {
	server := startConsul(t)
	client := server.connect()
	server.kill()
	m := newManager(t, shutdown.Config{GracePeriod: enough})
	r := &consul.Registrar{Clients: []*api.Client{client}, Logger: silent}

	refused := func(t *testing.T, m *shutdown.Manager, r *consul.Registrar) {
		err := register(t.Context(), m, r, ordersAt(t, somewhere))
		require.ErrorContains(t, err, "consul: register orders-1: ")
		require.ErrorContains(t, err, "connection refused")
		require.NotContains(t, err.Error(), "roll back", "there is nothing to deregister")
		require.NotErrorIs(t, err, context.DeadlineExceeded, "no attempt hangs")
	}
	synctest.Test(t, func(t *testing.T) { // in virtual time only a pause takes time
		m := newManager(t, shutdown.Config{GracePeriod: enough})
		start := time.Now()
		refused(t, m, &consul.Registrar{Clients: []*api.Client{server.connect()}, Logger: silent})
		require.Zero(t, time.Since(start), "it is tried once")
		m.Begin(nil)
		require.NoError(t, m.Wait())
	})
	refused(t, m, r)

	server.start()
	require.NoError(t, register(t.Context(), m, r, ordersAt(t, somewhere)), "it can be tried again")
	require.ErrorContains(t, r.Register(t.Context(), ordersAt(t, somewhere)), "it is registered already")
	m.Begin(nil)
	require.NoError(t, m.Wait())
}

func TestConsulRegistrationDoesNotChangeTheInstance(t *testing.T) {
	server := startConsul(t)
	m := newManager(t, shutdown.Config{GracePeriod: enough})
	r := &consul.Registrar{Clients: []*api.Client{server.connect()}, Logger: silent}
	i := ordersAt(t, somewhere)
	i.Check = &api.AgentServiceCheck{TTL: "20s"}
	before, check := *i, *i.Check

	require.NoError(t, register(t.Context(), m, r, i))

	require.Equal(t, before, *i)
	require.Equal(t, check, *i.Check)
	m.Begin(nil)
	require.NoError(t, m.Wait())
}

// An agent registers any ID, but does not find each of them in the path of a request
// (hashicorp/consul#13913, #20122). Those that Register refuses show that on the agent itself.
func TestConsulAnIDThatIsRegisteredCanBeDeregistered(t *testing.T) {
	client := startConsul(t).connect()
	ids := func() (ids []string) {
		services, err := client.Agent().Services()
		require.NoError(t, err)
		return slices.Collect(maps.Keys(services))
	}
	for _, id := range []string{"orders/10.0.0.7:8080", "orders/", "a/..b", "a#1", "a?x=1", "a%2F1", `a\b;c+d&e="f" g`, "日本"} {
		i := &api.AgentServiceRegistration{ID: id, Name: "orders"}
		r := &consul.Registrar{Clients: []*api.Client{client}, Logger: silent}
		require.NoError(t, r.Register(t.Context(), i))
		require.Equal(t, []string{id}, ids())
		require.NoError(t, client.Agent().UpdateTTL("service:"+id+":1", "", api.HealthPassing))
		require.NoError(t, r.Deregister(t.Context(), i), id)
		require.Empty(t, ids())
	}
	for _, id := range []string{"http://10.0.0.7:8080", "a//b", "/a", "a/b//", ".", "a/.", "../a", "a/../b", "a\tb", "a\u00a0b", "a\u2028b"} {
		before := len(ids())
		i := &api.AgentServiceRegistration{ID: id, Name: "orders"}
		r := &consul.Registrar{Clients: []*api.Client{client}, Logger: silent}
		require.ErrorContains(t, r.Register(t.Context(), i), strconv.Quote(id))
		require.NoError(t, client.Agent().ServiceRegister(i))
		_ = client.Agent().ServiceDeregister(id)
		require.Len(t, ids(), before+1, "the agent can deregister %q", id)
	}
}

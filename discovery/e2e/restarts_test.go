package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/discovery"
)

// A registryUnderTest has what the restart tests need of a registry.
type registryUnderTest struct {
	// register registers the service at addr with discovery.Register.
	register func(ctx context.Context, t *testing.T, m *shutdown.Manager, addr string) error
	// registerOnly registers it with the Registrar alone.
	registerOnly func(ctx context.Context, t *testing.T, addr string) (deregister func(context.Context) error, err error)
	list         func(context.Context) ([]string, error) // the addresses that clients find
	// cut is set if a registration that is cut off may still have an effect later. It
	// returns when the last one was cut off, or zero, and is called after Wait.
	cut func() time.Time
}

const (
	restarts = 20
	lameDuck = 8 * pollInterval
)

// losesNothing restarts a service repeatedly, while a gateway polls the registry and
// sends requests to the instances that it finds.
func (r registryUnderTest) losesNothing(t *testing.T) {
	least, late, busy := patience, 0, 0
	lost, answered := r.restart(t, restarts, func(s *service) {
		require.NoError(t, r.register(t.Context(), t, s.Manager, s.addr))
		s.waitForClients()
	}, func(g *gateway, s *service) {
		// The entry is removed while the port is open.
		inTime, begun := g.pollsInTime(), time.Now()
		s.Begin(nil)
		for {
			done := hasDeregistered(s.Manager) // before reading the registry
			if !slices.Contains(r.find(t), s.addr) {
				break
			}
			require.False(t, done, "the deregistration has returned, and the entry still exists")
			time.Sleep(time.Millisecond)
		}
		require.Eventually(t, func() bool { return g.hasDropped(s.addr) }, patience, time.Millisecond)
		took := time.Since(begun)
		require.True(t, accepts(s.addr), "the port was closed before the gateway had dropped the instance")
		close(s.clientsLeft)
		require.NoError(t, s.Wait())
		require.False(t, accepts(s.addr))
		deregistered, drain := timesOf(t, s.Manager)
		require.Less(t, deregistered, drain)
		require.GreaterOrEqual(t, drain, lameDuck)
		least = min(least, drain-deregistered)
		switch { // without waitForClients requests might have been lost
		case took <= max(lameDuck, deregistered):
		case inTime():
			late++
		default:
			busy++
		}
	})
	t.Logf("%d requests answered, %d lost in %d restarts", answered, len(lost), restarts)
	t.Logf("the deregistration was complete at least %v before Drain started", least)
	t.Logf("the gateway dropped the instance after the lame duck in %d of %d restarts, and in %d more in which its polls were late", late, restarts+1, busy)
	require.Empty(t, lost)
	require.Less(t, late, restarts/2, "the lame duck should be long enough")
	require.LessOrEqual(t, busy, restarts*3/4, "the machine is too busy: too few restarts count")
}

// hasDeregistered reports whether the deregistration has returned.
func hasDeregistered(m *shutdown.Manager) bool {
	return slices.ContainsFunc(m.Report().Steps, func(s shutdown.Step) bool {
		return s.Phase == shutdown.Leave && s.Name != "" && s.Name != clientsHook && !s.Running
	})
}

// timesOf returns when the deregistration was complete, and when Drain started, which
// is before the port is closed.
func timesOf(t *testing.T, m *shutdown.Manager) (deregistered, drain time.Duration) {
	for _, s := range m.Report().Steps {
		if s.Phase == shutdown.Drain && s.Name == "" {
			drain = s.At
		}
	}
	left := leaveStep(t, m)
	return left.At + left.Took, drain
}

// losesSome is the negative control: the same service deregisters in Close.
func (r registryUnderTest) losesSome(t *testing.T) {
	const restarts = 5
	for round := 1; ; round++ {
		lost, answered := r.restart(t, restarts, func(s *service) {
			deregister, err := r.registerOnly(t.Context(), t, s.addr)
			require.NoError(t, err)
			s.On(shutdown.Close, "registry", deregister)
		}, func(_ *gateway, s *service) { require.NoError(t, s.end()) })
		t.Logf("%d requests answered, %d lost in %d restarts", answered, len(lost), restarts)
		if len(lost) > 0 {
			return
		}
		require.Less(t, round, 10, "the load is too light to show a loss")
	}
}

func (r registryUnderTest) restart(t *testing.T, restarts int, register func(*service), end func(*gateway, *service)) (lost []string, answered int64) {
	g := startGateway(t, r.list)
	start := func() *service {
		s := startService(t, lameDuck)
		register(s)
		require.Eventually(t, func() bool { return g.knows(s.addr) }, patience, time.Millisecond)
		return s
	}
	old := start()
	for range restarts {
		successor := start()
		end(g, old)
		old = successor
	}
	end(g, old)
	g.end()
	return g.losses(), g.answered.Load()
}

func (r registryUnderTest) find(t *testing.T) []string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	found, err := r.list(ctx)
	require.NoError(t, err)
	return found
}

// leavesNoEntry begins shutdowns at various times during a registration.
func (r registryUnderTest) leavesNoEntry(t *testing.T, times int, within time.Duration) {
	for round := 1; ; round++ {
		during := r.beginWithin(t, times, within)
		t.Logf("within %v: in %d of %d the shutdown began during the registration", within, during, times)
		switch during { // how long a registration takes depends on the machine
		case 0:
			within /= 4
		case times:
			within *= 4
		default:
			return
		}
		require.Less(t, round, 10)
	}
}

func (r registryUnderTest) beginWithin(t *testing.T, times int, within time.Duration) (during int) {
	for n := range times {
		m := newManager(t, shutdown.Config{GracePeriod: enough})
		begun := time.Now()
		timer := time.AfterFunc(time.Duration(n)*within/time.Duration(times), func() { m.Begin(nil) })
		if err := r.register(t.Context(), t, m, "127.0.0.1:1"); err != nil {
			during++
		}
		m.Begin(nil)
		timer.Stop()
		require.NoError(t, m.Wait())
		// A registration is cut off after a second.
		if r.cut != nil && r.cut().Sub(begun) > time.Second {
			require.Eventually(t, finds(r.list, 0), patience, 10*time.Millisecond, "its TTL check removes it")
			continue
		}
		require.Empty(t, r.find(t), "after %v", time.Duration(n)*within/time.Duration(times))
	}
	return during
}

// register calls discovery.Register.
func register[I any](ctx context.Context, m *shutdown.Manager, r discovery.Registrar[I], i I) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return discovery.Register(ctx, m, r, i)
}

// finds returns a condition for require.Eventually: clients find n instances.
func finds(list func(context.Context) ([]string, error), n int) func() bool {
	return func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		found, err := list(ctx)
		return err == nil && len(found) == n
	}
}

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

// A registryUnderTest is what the restart tests need to know of a registry.
type registryUnderTest struct {
	// register registers the service at addr with discovery.Register.
	register func(ctx context.Context, t *testing.T, m *shutdown.Manager, addr string) error
	// registerOnly does so with the registrar alone.
	registerOnly func(ctx context.Context, t *testing.T, addr string) (deregister func(context.Context) error, err error)
	list         func(context.Context) ([]string, error) // what clients find
	// cut is there if a registration that is cut off may come true later. It is when
	// the last one was, or zero. After Wait.
	cut func() time.Time
}

const (
	restarts = 20
	lameDuck = 8 * pollInterval
)

// losesNothing restarts a service again and again while a gateway polls the
// registry and calls what it finds there.
func (r registryUnderTest) losesNothing(t *testing.T) {
	soonest, late, slow := patience, 0, 0
	lost, answered := r.restart(t, restarts, func(s *service) {
		require.NoError(t, r.register(t.Context(), t, s.Manager, s.addr))
		s.waitForClients()
	}, func(g *gateway, s *service) {
		// The entry is gone while the port is open.
		inTime, begun := g.looksInTime(), time.Now()
		s.Begin(nil)
		for {
			left := hasLeft(s.Manager) // before looking
			if !slices.Contains(r.find(t), s.addr) {
				break
			}
			require.False(t, left, "the deregistration has ended, and the entry is there")
			time.Sleep(time.Millisecond)
		}
		require.Eventually(t, func() bool { return g.hasLeft(s.addr) }, patience, time.Millisecond)
		took := time.Since(begun)
		require.True(t, accepts(s.addr), "the port was closed when the entry was seen to be gone")
		close(s.clientsLeft)
		require.NoError(t, s.Wait())
		require.False(t, accepts(s.addr))
		gone, closing := timesOf(t, s.Manager)
		require.Less(t, gone, closing)
		require.GreaterOrEqual(t, closing, lameDuck)
		soonest = min(soonest, closing-gone)
		switch { // without waitForClients it might have lost something
		case took <= max(lameDuck, gone):
		case inTime():
			late++
		default:
			slow++
		}
	})
	t.Logf("%d requests answered, %d lost in %d restarts", answered, len(lost), restarts)
	t.Logf("the entry was gone, by reading it back, %v or more before the port began to close", soonest)
	t.Logf("the gateway took longer than the lame duck in %d of %d restarts, and in %d more in which it did not look", late, restarts+1, slow)
	require.Empty(t, lost)
	require.Less(t, late, restarts/2, "the lame duck is to be long enough by itself")
	require.LessOrEqual(t, slow, restarts*3/4, "too few restarts say anything")
}

// hasLeft reports whether the deregistration has ended.
func hasLeft(m *shutdown.Manager) bool {
	return slices.ContainsFunc(m.Report().Steps, func(s shutdown.Step) bool {
		return s.Phase == shutdown.Leave && s.Name != "" && s.Name != clientsHook && !s.Running
	})
}

// timesOf returns when the deregistration had succeeded, and when Drain began,
// which is before the port closes.
func timesOf(t *testing.T, m *shutdown.Manager) (gone, closing time.Duration) {
	for _, s := range m.Report().Steps {
		if s.Phase == shutdown.Drain && s.Name == "" {
			closing = s.At
		}
	}
	left := leaveStep(t, m)
	return left.At + left.Took, closing
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
		require.Less(t, round, 10, "then the test above shows nothing")
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

// leavesNothingBehind begins shutdowns at all moments of a registration.
func (r registryUnderTest) leavesNothingBehind(t *testing.T, times int, within time.Duration) {
	for round := 1; ; round++ {
		during := r.beginWithin(t, times, within)
		t.Logf("within %v: in %d of %d the shutdown began during the registration", within, during, times)
		switch during { // registrations take as long as the machine needs
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
		// A registration has a second until it is cut off.
		if r.cut != nil && r.cut().Sub(begun) > time.Second {
			require.Eventually(t, finds(r.list, 0), patience, 10*time.Millisecond, "it goes with its TTL")
			continue
		}
		require.Empty(t, r.find(t), "after %v", time.Duration(n)*within/time.Duration(times))
	}
	return during
}

// taken is a registration by package discovery.
func taken[I any](ctx context.Context, m *shutdown.Manager, r discovery.Registrar[I], i I) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return discovery.Register(ctx, m, r, i)
}

// finds is a condition to wait for: that clients find n instances.
func finds(list func(context.Context) ([]string, error), n int) func() bool {
	return func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		found, err := list(ctx)
		return err == nil && len(found) == n
	}
}

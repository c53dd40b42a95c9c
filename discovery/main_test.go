package discovery_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/leaks"
)

func TestMain(m *testing.M) {
	// The tests set grace periods themselves.
	for _, key := range []string{"KUBERNETES_SERVICE_HOST", "SHUTDOWN_GRACE_PERIOD", "SHUTDOWN_LAME_DUCK", "SHUTDOWN_PRESTOP"} {
		_ = os.Unsetenv(key)
	}
	goleak.VerifyTestMain(leaks.Patient(m, goleak.Find))
}

// newManager returns a Manager that catches no signals and logs nothing.
func newManager(t *testing.T, cfg shutdown.Config) *shutdown.Manager {
	t.Helper()
	cfg.Signals = map[os.Signal]shutdown.Action{}
	cfg.Logger = slog.New(slog.DiscardHandler)
	m, err := shutdown.New(cfg)
	require.NoError(t, err)
	return m
}

type instance struct{ id string }

func (i instance) String() string { return i.id }

// A registry is a Registrar in memory. It notices two calls for an instance at the
// same time, which the interface excludes.
type registry struct {
	register   func(ctx context.Context, add func()) error                 // nil adds
	deregister func(ctx context.Context, attempt int, remove func()) error // nil removes

	mu      sync.Mutex // protects what follows
	entries map[string]bool
	busy    map[string]bool
	overlap bool
	calls   []call
}

type call struct {
	name string
	at   time.Time
}

var errRefused = errors.New("connection refused")

func (r *registry) Register(ctx context.Context, i instance) error {
	defer r.enter("register", i.id)()
	add := func() { r.set(i.id, true) }
	if r.register != nil {
		return r.register(ctx, add)
	}
	add()
	return nil
}

func (r *registry) Deregister(ctx context.Context, i instance) error {
	defer r.enter("deregister", i.id)()
	remove := func() { r.set(i.id, false) }
	if r.deregister != nil {
		return r.deregister(ctx, r.count("deregister"), remove)
	}
	remove()
	return nil
}

func (r *registry) enter(name, id string) (leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy == nil {
		r.busy, r.entries = map[string]bool{}, map[string]bool{}
	}
	r.overlap = r.overlap || r.busy[id]
	r.busy[id] = true
	r.calls = append(r.calls, call{name, time.Now()})
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.busy[id] = false
	}
}

func (r *registry) set(id string, there bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries[id] = there
}

func (r *registry) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entries[id]
}

func (r *registry) count(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, c := range r.calls {
		if c.name == name {
			n++
		}
	}
	return n
}

// times returns the times of the calls of name, since begin.
func (r *registry) times(name string, begin time.Time) []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var at []time.Duration
	for _, c := range r.calls {
		if c.name == name {
			at = append(at, c.at.Sub(begin))
		}
	}
	return at
}

func (r *registry) overlapped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.overlap
}

// step returns the Step of the only Leave hook in the Report.
func step(t *testing.T, m *shutdown.Manager) shutdown.Step {
	t.Helper()
	var found []shutdown.Step
	for _, s := range m.Report().Steps {
		if s.Phase == shutdown.Leave && s.Name != "" {
			found = append(found, s)
		}
	}
	require.Len(t, found, 1)
	return found[0]
}

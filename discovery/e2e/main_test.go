package e2e

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/leaks"
	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/listener"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(leaks.Patient(m, goleak.Find)) }

const (
	patience      = 50 * time.Second
	startPatience = 2 * time.Minute // for a registry to start
)

// enough is a grace period for tests in which no phase should run out of time: longer
// than a busy machine does not schedule the test.
const enough = 5 * time.Minute

// newManager returns a Manager that catches no signals and logs nothing.
func newManager(t *testing.T, cfg shutdown.Config) *shutdown.Manager {
	t.Helper()
	cfg.Signals = map[os.Signal]shutdown.Action{}
	cfg.Logger = slog.New(slog.DiscardHandler)
	m, err := shutdown.New(cfg)
	require.NoError(t, err)
	return m
}

var silent = slog.New(slog.DiscardHandler)

// others adds a Drain hook and a Close hook. The result reports whether both have
// run.
func others(m *shutdown.Manager) (done func() bool) {
	var drained, closed atomic.Bool
	m.On(shutdown.Drain, "port", func(context.Context) error { drained.Store(true); return nil })
	m.On(shutdown.Close, "db", func(context.Context) error { closed.Store(true); return nil })
	return func() bool { return drained.Load() && closed.Load() }
}

// leaveStep returns the Step of the only Leave hook in the Report, apart from
// clientsHook.
func leaveStep(t *testing.T, m *shutdown.Manager) shutdown.Step {
	t.Helper()
	var found []shutdown.Step
	for _, s := range m.Report().Steps {
		if s.Phase == shutdown.Leave && s.Name != "" && s.Name != clientsHook {
			found = append(found, s)
		}
	}
	require.Len(t, found, 1)
	return found[0]
}

// A service answers requests on its own port until the shutdown of its Manager.
type service struct {
	*shutdown.Manager
	addr        string
	clientsLeft chan struct{} // see waitForClients
}

func startService(t *testing.T, lameDuck time.Duration) *service {
	t.Helper()
	m := newManager(t, shutdown.Config{GracePeriod: enough, LameDuck: lameDuck})
	ln, err := listener.Listen(t.Context(), "tcp", loopback.Addr())
	require.NoError(t, err)
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(2 * time.Millisecond)
		_, _ = w.Write([]byte("thank you"))
	})
	_, err = httpserver.Serve(m, &http.Server{Handler: answer}, ln)
	require.NoError(t, err)
	s := &service{m, ln.Addr().String(), make(chan struct{})}
	t.Cleanup(func() {
		if t.Failed() { // clientsLeft may never be closed
			s.Force(nil)
		}
		_ = s.end()
	})
	return s
}

const clientsHook = "clients"

// waitForClients keeps the service serving until clientsLeft is closed, even if that
// takes longer than the lame duck because the machine is busy.
func (s *service) waitForClients() {
	s.On(shutdown.Leave, clientsHook, func(ctx context.Context) error {
		select {
		case <-s.clientsLeft:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

// end shuts the service down and waits.
func (s *service) end() error {
	s.Begin(nil)
	return s.Wait()
}

// accepts reports whether the port of addr is open.
func accepts(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

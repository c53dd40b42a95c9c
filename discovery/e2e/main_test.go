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
	"github.com/gracefulgo/shutdown/listener"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

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

// others registers a hook in Drain and one in Close, and returns whether both
// have run.
func others(m *shutdown.Manager) (done func() bool) {
	var drained, closed atomic.Bool
	m.On(shutdown.Drain, "port", func(context.Context) error { drained.Store(true); return nil })
	m.On(shutdown.Close, "db", func(context.Context) error { closed.Store(true); return nil })
	return func() bool { return drained.Load() && closed.Load() }
}

// leaveStep returns the Report's only hook of Leave.
func leaveStep(t *testing.T, m *shutdown.Manager) shutdown.Step {
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

// A service answers on a port of its own, until the shutdown of its Manager.
type service struct {
	*shutdown.Manager
	addr string
}

func startService(t *testing.T, lameDuck time.Duration) *service {
	t.Helper()
	m := newManager(t, shutdown.Config{GracePeriod: 20 * time.Second, LameDuck: lameDuck})
	ln, err := listener.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(2 * time.Millisecond)
		_, _ = w.Write([]byte("thank you"))
	})
	require.NoError(t, httpserver.StartListener(m, &http.Server{Handler: answer}, ln))
	s := &service{m, ln.Addr().String()}
	t.Cleanup(func() { s.end() })
	return s
}

// end ends the service, or waits until it has ended.
func (s *service) end() error {
	s.Begin(nil)
	return s.Wait()
}

// accepts reports whether the port of addr is open.
func accepts(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// freePorts returns ports on the loopback interface that nobody listens on.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close()
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

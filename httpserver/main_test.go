package httpserver_test

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"syscall"
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

func TestMain(m *testing.M) {
	// The tests do not depend on the grace period of the environment.
	for _, key := range []string{"KUBERNETES_SERVICE_HOST", "SHUTDOWN_GRACE_PERIOD", "SHUTDOWN_LAME_DUCK", "SHUTDOWN_PRESTOP"} {
		_ = os.Unsetenv(key)
	}
	goleak.VerifyTestMain(leaks.Patient(m, goleak.Find))
}

// soon is a limit for what should happen at once; no test waits for it to pass.
const soon = 50 * time.Second

// manager returns a Manager that catches no signals. Its shutdown ends before the test
// does.
func manager(t testing.TB, cfg shutdown.Config) *shutdown.Manager {
	t.Helper()
	cfg.Signals = map[os.Signal]shutdown.Action{}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.GracePeriod == 0 {
		cfg.GracePeriod = time.Hour // longer than soon, so that a slow machine cuts nothing off
	}
	m, err := shutdown.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		m.Force(nil)
		_ = m.Wait()
	})
	return m
}

func listen(t testing.TB) *listener.Listener {
	t.Helper()
	return listenOn(t, "tcp", loopback.Addr())
}

func listenOn(t testing.TB, network, addr string) *listener.Listener {
	t.Helper()
	ln, err := listener.Listen(t.Context(), network, addr)
	if network == "tcp6" {
		skipWithoutIPv6(t, err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}

// skipWithoutIPv6 skips the test if err, of a listen on an IPv6 address, says that this host
// has none.
func skipWithoutIPv6(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Skipf("no IPv6 here: %v", err)
	}
}

// start serves on a new port and returns the address.
func start(t testing.TB, m *shutdown.Manager, srv *http.Server) (addr string) {
	t.Helper()
	return startOn(t, m, srv, listen(t)).Addr().String()
}

func startOn(t testing.TB, m *shutdown.Manager, srv *http.Server, ln net.Listener) *httpserver.Server {
	t.Helper()
	if srv.ErrorLog == nil {
		srv.ErrorLog = log.New(io.Discard, "", 0)
	}
	s, err := httpserver.Serve(m, srv, ln)
	require.NoError(t, err)
	return s
}

func handle(f http.HandlerFunc) *http.Server { return &http.Server{Handler: f} }

// A reply is what a client has got.
type reply struct {
	status int
	close  bool // it has "Connection: close"
	reused bool // the connection had been used before
	proto  int
	body   string
	err    error
}

func newClient(t testing.TB) *http.Client {
	return clientOf(t, &http.Transport{})
}

func clientOf(t testing.TB, transport *http.Transport) *http.Client {
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func get(t testing.TB, c *http.Client, url string) reply {
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	var r reply
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { r.reused = info.Reused },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return reply{err: err}
	}
	resp, err := c.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	r.status, r.close, r.proto, r.body, r.err = resp.StatusCode, resp.Close, resp.ProtoMajor, string(body), err
	return r
}

// later sends a request and returns at once.
func later(t testing.TB, c *http.Client, url string) <-chan reply {
	replies := make(chan reply, 1)
	go func() { replies <- get(t, c, url) }()
	return replies
}

// within receives from the channel. It fails the test if there is nothing soon.
func within[T any](t testing.TB, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(soon):
		require.FailNow(t, "not within "+soon.String()+": "+what)
	}
	return v
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			require.FailNow(t, "not within "+soon.String()+": "+what)
		}
	}
}

func waitPhase(t testing.TB, m *shutdown.Manager, p shutdown.Phase) {
	t.Helper()
	eventually(t, "phase "+p.String(), func() bool { return m.Phase() >= p })
}

// wait calls m.Wait in a goroutine.
func wait(m *shutdown.Manager) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- m.Wait() }()
	return ended
}

// end runs a whole shutdown.
func end(t testing.TB, m *shutdown.Manager) error {
	t.Helper()
	m.Begin(nil)
	return within(t, "the end of the shutdown", wait(m))
}

func refused(network, addr string) bool {
	for deadline := time.Now().Add(soon); ; {
		// A client that is connected when the listener is closed may get the reset while
		// it still dials. SYNs may be dropped while the listener drains.
		conn, err := net.DialTimeout(network, addr, 200*time.Millisecond)
		if err == nil {
			conn.Close()
		}
		again := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ECONNRESET)
		if !again || time.Now().After(deadline) {
			return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist)
		}
	}
}

func waitRefused(t testing.TB, addr string) {
	t.Helper()
	// Not too often: an opaque listener waits for 50 ms without a connection.
	for deadline := time.Now().Add(soon); !refused("tcp", addr); time.Sleep(100 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "connections are not refused")
	}
}

func taskNames(m *shutdown.Manager) []string {
	var names []string
	for _, task := range m.Tasks() {
		names = append(names, task.Name)
	}
	return names
}

// hookError returns the error of the server's Drain hook, or nil.
func hookError(err error) *shutdown.HookError {
	var h *shutdown.HookError
	if errors.As(err, &h) && h.Phase == shutdown.Drain && strings.HasPrefix(h.Name, "http") {
		return h
	}
	return nil
}

// An order is a list of events.
type order struct {
	mu     sync.Mutex
	events []string
}

func (o *order) add(event string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, event)
}

func (o *order) get() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.events
}

package thirdparty

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/internal/testcert"
	"github.com/gracefulgo/shutdown/listener"
)

// soon bounds the wait for an event that should come at once.
const soon = 50 * time.Second

// manager makes a Manager that catches no signals and ends before the test does. It
// logs to logs, if that is not nil.
func manager(t testing.TB, cfg shutdown.Config, logs *logBuffer) *shutdown.Manager {
	t.Helper()
	cfg.Signals = map[os.Signal]shutdown.Action{}
	cfg.Logger = slog.New(slog.DiscardHandler)
	if logs != nil {
		cfg.Logger = slog.New(slog.NewTextHandler(logs, nil))
	}
	if cfg.GracePeriod == 0 {
		cfg.GracePeriod = time.Hour // so that nothing is cut off on a slow machine
	}
	if cfg.LameDuck == 0 {
		cfg.LameDuck = -1
	}
	m, err := shutdown.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		m.Force(nil)
		_ = m.Wait() // the test has checked what it needs
	})
	return m
}

// start serves without TLS on a port of its own.
func start(t testing.TB, m *shutdown.Manager, srv *http.Server) (addr string) {
	t.Helper()
	if srv.ErrorLog == nil {
		srv.ErrorLog = log.New(io.Discard, "", 0)
	}
	srv.Addr = loopback.Addr()
	s, err := httpserver.Start(m, srv)
	require.NoError(t, err)
	return s.Addr().String()
}

func listen(t testing.TB) *listener.Listener {
	t.Helper()
	ln, err := listener.Listen(t.Context(), "tcp", loopback.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}

// wait calls m.Wait, and sends the result.
func wait(m *shutdown.Manager) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- m.Wait() }()
	return ended
}

// end runs the whole shutdown.
func end(t testing.TB, m *shutdown.Manager) error {
	t.Helper()
	m.Begin(nil)
	return within(t, "the end of the shutdown", wait(m))
}

// within receives from the channel. It fails the test if nothing comes soon.
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

func taskNames(m *shutdown.Manager) (names []string) {
	for _, task := range m.Tasks() {
		names = append(names, task.Name)
	}
	return names
}

var newCertificate = sync.OnceValues(testcert.New)

// certificate returns configurations for a server and its clients. They may be
// changed.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	cert, err := newCertificate()
	require.NoError(t, err)
	server, err = cert.Server()
	require.NoError(t, err)
	client, err = cert.Client()
	require.NoError(t, err)
	return server, client
}

// client returns a client whose idle connections are closed before the test ends.
func client(t testing.TB, transport *http.Transport) *http.Client {
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func priorKnowledge() *http.Transport {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	return transport
}

func overTLS(trust *tls.Config) *http.Transport {
	transport := &http.Transport{TLSClientConfig: trust.Clone(), Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP2(true)
	return transport
}

// A reply is a client's response or error.
type reply struct {
	status int
	close  bool // with "Connection: close"
	header http.Header
	body   string
	err    error
}

func get(t testing.TB, c *http.Client, url string) reply {
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
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
	return reply{status: resp.StatusCode, close: resp.Close, header: resp.Header, body: string(body), err: err}
}

// later sends a request in the background.
func later(t testing.TB, c *http.Client, url string) <-chan reply {
	replies := make(chan reply, 1)
	go func() { replies <- get(t, c, url) }()
	return replies
}

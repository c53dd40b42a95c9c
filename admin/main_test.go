package admin_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
	"github.com/gracefulgo/shutdown/internal/leaks"
)

// childEnv names the scenario that a re-executed test binary runs in place of
// the tests.
const childEnv = "ADMIN_TEST_CHILD"

var childScenarios = map[string]func(){}

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		time.AfterFunc(3*time.Minute, func() { os.Exit(99) }) // a child must not outlive a parent that was killed
		childScenarios[name]()
		os.Exit(97)
	}
	// What the machine says about grace periods is not what is tested here.
	for _, key := range []string{"KUBERNETES_SERVICE_HOST", "SHUTDOWN_GRACE_PERIOD", "SHUTDOWN_LAME_DUCK", "SHUTDOWN_PRESTOP"} {
		_ = os.Unsetenv(key)
	}
	// Under nohup the children would inherit what is ignored.
	for _, sig := range []os.Signal{syscall.SIGHUP, os.Interrupt} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	goleak.VerifyTestMain(leaks.Patient(m, goleak.Find))
}

// soon bounds what ought to happen at once; no test waits for it to pass.
const soon = 50 * time.Second

// manager makes a Manager that catches no signals. It has ended before the test
// has.
func manager(t testing.TB, cfg shutdown.Config) *shutdown.Manager {
	t.Helper()
	cfg.Signals = map[os.Signal]shutdown.Action{}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := shutdown.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		m.Force(nil)
		_ = m.Wait()
	})
	return m
}

// serve starts the server of m and returns its URL.
func serve(t testing.TB, m *shutdown.Manager, o admin.Options) string {
	t.Helper()
	s, err := admin.StartForTest(t, m, "127.0.0.1:0", o)
	require.NoError(t, err)
	return "http://" + s.Addr().String()
}

// A reply is what a client got: "200 ready", or an error.
type reply struct {
	status int
	body   string
	header http.Header
	err    error
}

func (r reply) String() string {
	if r.err != nil {
		return r.err.Error()
	}
	return fmt.Sprint(r.status, " ", strings.TrimSpace(r.body))
}

// ask sends a request on a connection of its own; header is key, value, ...
func ask(t testing.TB, method, url string, header ...string) reply {
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	return askWith(ctx, method, url, header...)
}

func askWith(ctx context.Context, method, url string, header ...string) reply {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return reply{err: err}
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, string(body), resp.Header, err}
}

func get(t testing.TB, url string) string { return ask(t, http.MethodGet, url).String() }

// later sends a request whose reply is awaited elsewhere.
func later(t testing.TB, url string, header ...string) <-chan reply {
	replies := make(chan reply, 1)
	go func() { replies <- ask(t, http.MethodGet, url, header...) }()
	return replies
}

// within takes what the channel brings; it fails the test if that is nothing.
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

// A logBuffer is a log that a test can read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// captureLog takes what log and log/slog write until the test has ended.
func captureLog(t *testing.T) *logBuffer {
	b := &logBuffer{}
	log.SetOutput(b)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	return b
}

// wait calls m.Wait, and returns when m knows it.
func wait(t testing.TB, m *shutdown.Manager) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- m.Wait() }()
	eventually(t, "Wait has been called", func() bool { return admin.Waiting(m) })
	return ended
}

// A gate is a hook that holds its phase until it is opened.
type gate struct{ entered, open chan struct{} }

func newGate() *gate { return &gate{make(chan struct{}), make(chan struct{})} }

func (g *gate) hook(ctx context.Context) error {
	close(g.entered)
	select {
	case <-g.open:
	case <-ctx.Done(): // the end of a test that has failed
	}
	return nil
}

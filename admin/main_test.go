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
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
	"github.com/gracefulgo/shutdown/internal/leaks"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

// childEnv is the environment variable with the name of the scenario that a re-executed
// test binary runs instead of the tests.
const childEnv = "ADMIN_TEST_CHILD"

var childScenarios = map[string]func(){}

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		time.AfterFunc(3*time.Minute, func() { os.Exit(99) }) // if the parent was killed
		childScenarios[name]()
		os.Exit(97)
	}
	// The tests must not depend on the grace period of this machine.
	for _, key := range []string{"KUBERNETES_SERVICE_HOST", "SHUTDOWN_GRACE_PERIOD", "SHUTDOWN_LAME_DUCK", "SHUTDOWN_PRESTOP"} {
		_ = os.Unsetenv(key)
	}
	// Under nohup the child processes would inherit the ignored signals.
	for _, sig := range []os.Signal{syscall.SIGHUP, os.Interrupt} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	goleak.VerifyTestMain(leaks.Patient(m, goleak.Find))
}

// soon is the time limit for events that are expected at once.
const soon = 50 * time.Second

// manager returns a Manager that catches no signals. Its shutdown has ended when the test
// ends.
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

// A reply is the response to a request, or an error.
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

// ask sends a request on a new connection; header is key, value, ...
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

// later sends a request and does not wait for the reply.
func later(t testing.TB, url string, header ...string) <-chan reply {
	replies := make(chan reply, 1)
	go func() { replies <- ask(t, http.MethodGet, url, header...) }()
	return replies
}

// within receives from a channel, and fails the test if nothing arrives soon.
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

// captureLog redirects the output of log and log/slog until the test ends.
func captureLog(t *testing.T) *testlog.Buffer {
	b := &testlog.Buffer{}
	log.SetOutput(b)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	return b
}

// wait calls m.Wait on another goroutine and returns when that has started to wait.
func wait(t testing.TB, m *shutdown.Manager) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- m.Wait() }()
	eventually(t, "Wait has been called", func() bool { return admin.Waiting(m) })
	return ended
}

// A gate is a hook that does not return, and so holds its phase, until it is opened.
type gate struct{ entered, open chan struct{} }

func newGate() *gate { return &gate{make(chan struct{}), make(chan struct{})} }

func (g *gate) hook(ctx context.Context) error {
	close(g.entered)
	select {
	case <-g.open:
	case <-ctx.Done(): // the test has failed
	}
	return nil
}

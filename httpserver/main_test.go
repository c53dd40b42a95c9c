package httpserver_test

import (
	"bufio"
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
	// What the machine says about grace periods is not what is tested here.
	for _, key := range []string{"KUBERNETES_SERVICE_HOST", "SHUTDOWN_GRACE_PERIOD", "SHUTDOWN_LAME_DUCK", "SHUTDOWN_PRESTOP"} {
		_ = os.Unsetenv(key)
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
	if cfg.GracePeriod == 0 {
		cfg.GracePeriod = time.Hour // longer than soon: what must not be cut off is not, however slow the machine is
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
	if network == "tcp6" && err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}

// start serves on a port of its own and returns the address.
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

// A reply is what a client got.
type reply struct {
	status int
	close  bool // the server asked the client to leave
	reused bool // on a connection that had been used before
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

// later sends a request whose reply is awaited elsewhere.
func later(t testing.TB, c *http.Client, url string) <-chan reply {
	replies := make(chan reply, 1)
	go func() { replies <- get(t, c, url) }()
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

func waitPhase(t testing.TB, m *shutdown.Manager, p shutdown.Phase) {
	t.Helper()
	eventually(t, "phase "+p.String(), func() bool { return m.Phase() >= p })
}

// wait is m.Wait in a channel.
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

func refused(network, addr string) bool {
	for deadline := time.Now().Add(soon); ; {
		// The SYN is not answered while the listener drains; and who was connected
		// when it was closed may hear of that while still dialling.
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
	// Not too often: a listener that cannot look into its queue waits for 50 ms
	// in which nobody dials.
	for deadline := time.Now().Add(soon); !refused("tcp", addr); time.Sleep(100 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "nobody refuses connections")
	}
}

// A gate holds requests until it is opened.
type gate struct {
	entered chan struct{} // a token for each
	open    chan struct{}
	once    sync.Once
}

func newGate(t testing.TB) *gate {
	g := &gate{entered: make(chan struct{}, 1000), open: make(chan struct{})}
	t.Cleanup(g.Open)
	return g
}

func (g *gate) Open() { g.once.Do(func() { close(g.open) }) }

func (g *gate) pass() {
	g.entered <- struct{}{}
	<-g.open
}

func (g *gate) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	g.pass()
	_, _ = io.WriteString(w, "held")
}

// hook is for Manager.On: it freezes the shutdown in its phase.
func (g *gate) hook(context.Context) error {
	g.pass()
	return nil
}

// frozen returns after a Leave hook has stopped the shutdown of m, which goes
// on when the gate is opened.
func frozen(t testing.TB, m *shutdown.Manager) *gate {
	t.Helper()
	g := newGate(t)
	m.On(shutdown.Leave, "freeze", g.hook)
	m.Begin(nil)
	within(t, "the Leave hook", g.entered)
	return g
}

// A rawConn is a client that does by hand what http.Client does by itself.
type rawConn struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func dialRaw(t testing.TB, addr string) rawConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, soon)
	require.NoError(t, err)
	return raw(t, conn)
}

func raw(t testing.TB, conn net.Conn) rawConn {
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(soon))
	return rawConn{conn, t, bufio.NewReader(conn)}
}

func (c rawConn) send(s string) {
	c.t.Helper()
	_, err := io.WriteString(c, s)
	require.NoError(c.t, err)
}

func (c rawConn) get(path string) { c.send("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n") }

func (c rawConn) response() reply {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return reply{status: resp.StatusCode, close: resp.Close, body: string(body)}
}

// requireEnd fails unless the server closes the connection, with nothing more
// to read and without a reset.
func (c rawConn) requireEnd() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	require.NoError(c.t, err)
	require.Empty(c.t, string(rest))
}

func taskNames(m *shutdown.Manager) []string {
	var names []string
	for _, task := range m.Tasks() {
		names = append(names, task.Name)
	}
	return names
}

// hookError is what the Drain hook of the server returned.
func hookError(err error) *shutdown.HookError {
	var h *shutdown.HookError
	if errors.As(err, &h) && h.Phase == shutdown.Drain && strings.HasPrefix(h.Name, "http") {
		return h
	}
	return nil
}

// An order is of events.
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

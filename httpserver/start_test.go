package httpserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

// startAnywhere is Start on a port that the kernel chooses.
func startAnywhere(t testing.TB, m *shutdown.Manager, srv *http.Server) (addr string) {
	t.Helper()
	bound := make(chan string, 1)
	srv.Addr = loopback.Addr()
	srv.BaseContext = func(ln net.Listener) context.Context {
		bound <- ln.Addr().String()
		return context.Background()
	}
	_, err := httpserver.Start(m, srv)
	require.NoError(t, err)
	return within(t, "the address", bound)
}

func TestStartServesFromTheMomentItReturnsUntilTheEndOfTheDrain(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	addr := startAnywhere(t, m, handle(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	require.Equal(t, reply{status: 200, proto: 1, body: "hello"}, get(t, newClient(t), "http://"+addr))
	require.Equal(t, []shutdown.Step{{Phase: shutdown.Drain, Name: "http " + addr}}, m.Report().Pending)
	require.NoError(t, end(t, m))
	require.True(t, refused("tcp", addr))
}

func TestStartServesTLSIfThereAreCertificates(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	srv := handle(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate()}}
	addr := startAnywhere(t, m, srv)
	require.Equal(t, reply{status: 200, proto: 2, body: "hello"}, get(t, protocols["HTTP/2 over TLS"].client(t), "https://"+addr))
	require.Equal(t, reply{status: 200, proto: 1, body: "hello"}, get(t, protocols["HTTPS"].client(t), "https://"+addr))
	require.Equal(t, "https "+addr, m.Report().Pending[0].Name)
	require.NoError(t, end(t, m))
}

func TestATLSConfigWithoutCertificatesIsNoTLS(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	addr := start(t, m, &http.Server{TLSConfig: &tls.Config{}, Handler: http.NotFoundHandler()})
	require.Equal(t, 404, get(t, newClient(t), "http://"+addr).status)
}

func TestABusyPortIsAnErrorAtOnceAndChangesNothing(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	busy := netListen(t)
	h := http.NotFoundHandler()
	srv := &http.Server{Addr: busy.Addr().String(), Handler: h}
	_, err := httpserver.Start(m, srv)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.ErrorContains(t, err, "httpserver: ")
	require.ErrorContains(t, err, busy.Addr().String())
	require.Equal(t, shutdown.Running, m.Phase())
	require.Empty(t, m.Report().Pending)

	// The same server can be tried again.
	require.NoError(t, busy.Close())
	addr := startAnywhere(t, m, srv)
	require.Equal(t, 404, get(t, newClient(t), "http://"+addr).status)
}

func TestAfterBeginNothingIsStarted(t *testing.T) {
	t.Parallel()
	for _, phase := range []shutdown.Phase{shutdown.Leave, shutdown.Done} {
		t.Run(phase.String(), func(t *testing.T) {
			t.Parallel()
			m := manager(t, shutdown.Config{})
			why := errors.New("why")
			freeze := newGate(t)
			if phase == shutdown.Done {
				freeze.Open()
			}
			m.On(shutdown.Leave, "freeze", freeze.hook)
			m.Begin(why)
			within(t, "the Leave hook", freeze.entered)
			waitPhase(t, m, phase)

			free := netListen(t)
			addr := free.Addr().String()
			require.NoError(t, free.Close())
			_, err := httpserver.Start(m, &http.Server{Addr: addr})
			require.ErrorIs(t, err, why)
			require.ErrorContains(t, err, "listen on "+addr)
			require.True(t, refused("tcp", addr))

			ln := listen(t)
			_, err = httpserver.Serve(m, &http.Server{}, ln)
			require.ErrorIs(t, err, why)
			require.ErrorContains(t, err, "serve on "+ln.Addr().String())
			require.True(t, refused("tcp", ln.Addr().String()), "Serve takes the listener over")
			require.Empty(t, m.Report().Pending)
			require.Len(t, m.Report().Steps, map[shutdown.Phase]int{shutdown.Leave: 2, shutdown.Done: 4}[phase], "no hook has run")
		})
	}
}

// A start-up that races with a signal serves or fails; it never serves unseen.
func TestStartAndBeginAtTheSameTime(t *testing.T) {
	t.Parallel()
	for range 50 {
		m := manager(t, shutdown.Config{})
		ln := listen(t)
		begun := make(chan struct{})
		go func() {
			defer close(begun)
			m.Begin(nil)
		}()
		_, err := httpserver.Serve(m, handle(func(http.ResponseWriter, *http.Request) {}), ln)
		<-begun
		require.NoError(t, within(t, "the end", wait(m)))
		eventually(t, "the listener is closed", func() bool { return refused("tcp", ln.Addr().String()) })
		if err != nil {
			require.ErrorContains(t, err, "the shutdown has begun")
		}
	}
}

var errBroken = errors.New("broken")

// A brokenListener fails for good.
type brokenListener struct {
	net.Listener
	broken chan struct{}
}

func (l brokenListener) Accept() (net.Conn, error) {
	<-l.broken
	return nil, errBroken
}

func TestAServerThatFailsBeginsTheShutdownAndIsItsCause(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	ln := brokenListener{netListen(t), make(chan struct{})}
	startOn(t, m, &http.Server{}, ln)
	other := start(t, m, handle(func(http.ResponseWriter, *http.Request) {}))
	require.Equal(t, 200, get(t, newClient(t), "http://"+other).status)
	require.Equal(t, shutdown.Running, m.Phase())

	close(ln.broken)
	err := within(t, "the end", wait(m))
	require.ErrorIs(t, err, errBroken)
	require.ErrorContains(t, err, "httpserver: serve http "+ln.Addr().String())
	require.Nil(t, hookError(err))
	require.True(t, refused("tcp", ln.Addr().String()))
	require.True(t, refused("tcp", other))
}

func TestAServerWhoseTLSIsImpossibleBeginsTheShutdown(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	ln := listen(t)
	var phase shutdown.Phase
	startOn(t, m, &http.Server{TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{certificate()},
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}, // HTTP/2 requires another
		MaxVersion:   tls.VersionTLS12,
	}}, closing{ln, func() { phase = m.Phase() }})
	require.ErrorContains(t, within(t, "the end", wait(m)), "HTTP/2-required")
	require.Equal(t, shutdown.Running, phase, "closed before the drain can be interrupted by it")
	require.True(t, refused("tcp", ln.Addr().String()))
}

// A closing listener says when.
type closing struct {
	net.Listener
	closes func()
}

func (l closing) Close() error {
	l.closes()
	return l.Listener.Close()
}

func TestACallerThatClosesTheServerDoesNotBeginTheShutdown(t *testing.T) {
	for name, stop := range map[string]func(*http.Server) error{
		"Close":    (*http.Server).Close,
		"Shutdown": func(srv *http.Server) error { return srv.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := manager(t, shutdown.Config{})
			srv := handle(func(http.ResponseWriter, *http.Request) {})
			addr := start(t, m, srv)
			require.Equal(t, 200, get(t, newClient(t), "http://"+addr).status)
			require.NoError(t, stop(srv))
			require.True(t, refused("tcp", addr))
			require.Equal(t, shutdown.Running, m.Phase())
			require.NoError(t, end(t, m))
		})
	}
}

func TestAServerHasOneListener(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	srv := &http.Server{Addr: loopback.Addr()}
	_, err := httpserver.Start(m, srv)
	require.NoError(t, err)
	_, err = httpserver.Start(m, srv)
	require.ErrorContains(t, err, "has been started before")
	require.Len(t, m.Report().Pending, 1)
	require.NoError(t, end(t, m))
}

func TestTwoServersOfOneManagerDrainTogether(t *testing.T) {
	t.Parallel()
	m, g := manager(t, shutdown.Config{}), newGate(t)
	slow, quick := start(t, m, &http.Server{Handler: g}), start(t, m, handle(func(http.ResponseWriter, *http.Request) {}))
	replies := later(t, newClient(t), "http://"+slow)
	within(t, "the request", g.entered)
	m.Begin(nil)
	waitRefused(t, slow)
	waitRefused(t, quick)
	eventually(t, "the quick one's hook", func() bool { return len(running(m.Report())) == 1 })
	require.Equal(t, []string{"http " + slow}, running(m.Report()))
	g.Open()
	require.Equal(t, 200, within(t, "the reply", replies).status)
	require.NoError(t, end(t, m))
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	m, g := manager(t, shutdown.Config{}), newGate(t)
	ln := listenOn(t, "tcp6", "[::1]:0")
	startOn(t, m, &http.Server{Handler: g}, ln)
	testHeldRequest(t, m, g, newClient(t), "http://"+ln.Addr().String())
	require.True(t, refused("tcp", ln.Addr().String()))
}

func TestUnixSocket(t *testing.T) {
	for name, listen := range map[string]func(t *testing.T, path string) net.Listener{
		"of its own": func(t *testing.T, path string) net.Listener { return listenOn(t, "unix", path) },
		"the caller's": func(t *testing.T, path string) net.Listener {
			ln, err := net.Listen("unix", path)
			require.NoError(t, err)
			return ln
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "") // t.TempDir is too long for a socket
			require.NoError(t, err)
			t.Cleanup(func() { os.RemoveAll(dir) })
			path := filepath.Join(dir, "s")
			m, g := manager(t, shutdown.Config{}), newGate(t)
			conns := make(chan net.Conn, 100)
			srv := &http.Server{Handler: g, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				conns <- c
				return ctx
			}}
			startOn(t, m, srv, listen(t, path))
			silent, err := net.Dial("unix", path)
			require.NoError(t, err)
			defer silent.Close()

			c := clientOf(t, &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", path)
			}})
			testHeldRequest(t, m, g, c, "http://unix")
			require.True(t, refused("unix", path))
			require.IsType(t, &net.UnixConn{}, <-conns)
			require.Contains(t, steps(m.Report()), "drain http "+path)
		})
	}
}

// testHeldRequest shuts down while a request is held.
func testHeldRequest(t *testing.T, m *shutdown.Manager, g *gate, c *http.Client, url string) {
	t.Helper()
	replies := later(t, c, url)
	within(t, "the request", g.entered)
	watch := startWatch(t)
	ended := wait(m)
	m.Begin(nil)
	waitPhase(t, m, shutdown.Drain)
	require.Empty(t, ended)
	g.Open()
	require.Equal(t, reply{status: 200, close: true, proto: 1, body: "held"}, within(t, "the reply", replies))
	require.NoError(t, within(t, "the end", ended))
	watch.requireLinger()
}

package httpserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
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
	pending := m.Report().Pending
	require.Len(t, pending, 1)
	require.Equal(t, shutdown.Step{Phase: shutdown.Drain, Name: "http " + addr, Ends: pending[0].Ends}, pending[0])
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

func TestATLSConfigWithoutCertificatesServesWithoutTLS(t *testing.T) {
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

	// The same http.Server can be started again.
	require.NoError(t, busy.Close())
	addr := startAnywhere(t, m, srv)
	require.Equal(t, 404, get(t, newClient(t), "http://"+addr).status)
}

func TestAfterBeginStartReturnsAnError(t *testing.T) {
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
			require.Len(t, m.Report().Steps, map[shutdown.Phase]int{shutdown.Leave: 2, shutdown.Done: 4}[phase], "no hook of the server has run")
		})
	}
}

// Start either fails or registers its hook; a server never stays outside the shutdown.
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

// A brokenListener fails permanently.
type brokenListener struct {
	net.Listener
	broken chan struct{}
}

func (l brokenListener) Accept() (net.Conn, error) {
	<-l.broken
	return nil, errBroken
}

func TestAServerThatFailsStartsTheShutdownAndIsItsCause(t *testing.T) {
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

func TestAServerWithInvalidTLSStartsTheShutdown(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	ln := listen(t)
	var phase shutdown.Phase
	startOn(t, m, &http.Server{TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{certificate()},
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}, // HTTP/2 requires another one
		MaxVersion:   tls.VersionTLS12,
	}}, closing{ln, func() { phase = m.Phase() }})
	require.ErrorContains(t, within(t, "the end", wait(m)), "HTTP/2-required")
	require.Equal(t, shutdown.Running, phase, "the listener is closed before the drain starts")
	require.True(t, refused("tcp", ln.Addr().String()))
}

// A closing listener calls a function when it is closed.
type closing struct {
	net.Listener
	closes func()
}

func (l closing) Close() error {
	l.closes()
	return l.Listener.Close()
}

func TestACallerThatClosesTheServerDoesNotStartTheShutdown(t *testing.T) {
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

func TestTwoServersOfOneManagerDrainConcurrently(t *testing.T) {
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

package grpcserver_test

import (
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/grpcserver"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

func TestABusyPortIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	busy := listen(t)
	m := manager(t, shutdown.Config{})
	err := newServer(m, service{}).Start(busy.Addr().String())
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.ErrorContains(t, err, busy.Addr().String())
	require.Equal(t, shutdown.Running, m.Phase())
	require.Empty(t, m.Report().Pending)
}

func TestStartServesWhenItReturns(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	srv := newServer(m, service{})
	require.Nil(t, srv.Addr())
	require.NoError(t, srv.Start(loopback.Addr()))
	addr := srv.Addr().String()
	dialRaw(t, addr)
	require.NoError(t, call(t, client(t, addr)))
	pending := m.Report().Pending
	require.Len(t, pending, 1)
	require.Equal(t, shutdown.Step{Phase: shutdown.Drain, Name: "grpc " + addr, Ends: pending[0].Ends}, pending[0])
	require.NoError(t, end(t, m))
	waitRefused(t, addr)
}

func TestStartAfterTheStartOfTheShutdownDoesNotListen(t *testing.T) {
	t.Parallel()
	cause := errors.New("the cause")
	m := manager(t, shutdown.Config{})
	m.Begin(cause)
	ln := listen(t)
	addr := ln.Addr().String()
	err := newServer(m, service{}).Serve(ln)
	require.ErrorIs(t, err, cause)
	require.ErrorContains(t, err, addr)
	require.ErrorIs(t, newServer(m, service{}).Start(addr), cause)
	waitRefused(t, addr)
}

func TestAServerThatCannotServeStartsTheShutdown(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	srv := newServer(m, service{})
	srv.Stop()
	ln := listen(t)
	require.NoError(t, srv.Serve(ln))
	err := within(t, "the end", wait(m))
	require.ErrorIs(t, err, grpc.ErrServerStopped)
	require.ErrorContains(t, err, "grpc "+ln.Addr().String())
}

func TestACallerThatStopsTheServerDoesNotStartTheShutdown(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(*grpcserver.Server){"Stop": (*grpcserver.Server).Stop, "GracefulStop": (*grpcserver.Server).GracefulStop} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := manager(t, shutdown.Config{})
			srv := newServer(m, service{})
			ln := &serving{Listener: listen(t), accepts: make(chan struct{})}
			require.NoError(t, srv.Serve(ln))
			within(t, "Serve", ln.accepts) // the server must not be stopped before that
			stop(srv)
			waitRefused(t, ln.Addr().String())
			require.NoError(t, end(t, m))
		})
	}
}

// serving is a listener that tells when Accept is called.
type serving struct {
	net.Listener
	once    sync.Once
	accepts chan struct{}
}

func (l *serving) Accept() (net.Conn, error) {
	l.once.Do(func() { close(l.accepts) })
	return l.Listener.Accept()
}

func TestNilArgumentsPanic(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	require.PanicsWithValue(t, "grpcserver: Adopt: srv is nil", func() { grpcserver.Adopt(m, nil) })
	require.PanicsWithValue(t, "grpcserver: Health: h is nil", func() { grpcserver.Health(m, (*health.Server)(nil)) })
	require.PanicsWithValue(t, "grpcserver: DrainAfter: channel 2 of 2 is nil", func() { newServer(m, service{}).DrainAfter(make(chan struct{}), nil) })
}

// GracefulStop closes all listeners of a server and resets the connections in their
// queues, so it must be called when the last one has drained.
func TestAServerOnSeveralAddressesStopsWhenTheLastListenerHasDrained(t *testing.T) {
	t.Parallel()
	for range 5 {
		requireNoLoss(t, func() []*crowd {
			m := manager(t, shutdown.Config{})
			srv := newServer(m, service{})
			crowds := []*crowd{{addr: start(t, srv), perCall: true}, {addr: start(t, srv), perCall: true}}
			for _, c := range crowds {
				c.start(t)
				c.warm(t)
			}
			require.NoError(t, end(t, m))
			for _, c := range crowds {
				c.end(t)
			}
			var names []string
			for _, s := range m.Report().Steps {
				if strings.HasPrefix(s.Name, "grpc ") {
					names = append(names, s.Name)
				}
			}
			require.ElementsMatch(t, []string{"grpc " + crowds[0].addr, "grpc " + crowds[1].addr}, names)
			return crowds
		})
	}
}

func TestDrainLastsUntilTheRPCsOfAllAddressesHaveEnded(t *testing.T) {
	t.Parallel()
	m, g := manager(t, shutdown.Config{}), newGate(t)
	srv := newServer(m, service{unary: g.pass})
	slow, quick := client(t, start(t, srv)), start(t, srv)
	answer := later(t, slow)
	within(t, "the call", g.entered)
	ended := wait(m)
	m.Begin(nil)
	waitPhase(t, m, shutdown.Drain)
	waitRefused(t, quick)
	require.Equal(t, shutdown.Drain, m.Phase())
	g.Open()
	require.NoError(t, within(t, "the answer", answer))
	require.NoError(t, within(t, "the end", ended))
}

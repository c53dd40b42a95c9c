package httpserver_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

func TestDrainedIsClosedWhenTheServerHasDrained(t *testing.T) {
	t.Parallel()
	m, g := manager(t, shutdown.Config{}), newGate(t)
	s := startOn(t, m, handle(g.ServeHTTP), listen(t))
	requireOpen := func() {
		t.Helper()
		select {
		case <-s.Drained():
			require.Fail(t, "it has not drained")
		default:
		}
	}
	requireOpen()
	answer := later(t, newClient(t), "http://"+s.Addr().String())
	within(t, "the request", g.entered)
	m.Begin(nil)
	waitRefused(t, s.Addr().String())
	requireOpen()
	g.Open()
	require.NoError(t, within(t, "the answer", answer).err)
	within(t, "the drain", s.Drained())
	require.NoError(t, end(t, m))
}

// The handler is still running although net/http no longer has the connection.
func TestDrainedWaitsForTheHandlersOfHijackedConnections(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{})
	var s *httpserver.Server
	socket := hijack(t, func(srv *http.Server) rawConn {
		s = startOn(t, m, srv, listen(t))
		return dialRaw(t, s.Addr().String())
	})
	m.Begin(nil)
	waitPhase(t, m, shutdown.Drain)
	select {
	case <-s.Drained():
		require.Fail(t, "its handler has not returned")
	case <-time.After(200 * time.Millisecond): // there is no event to wait for
	}
	socket.client.send("close\n")
	within(t, "the drain", s.Drained())
	require.NoError(t, end(t, m))
}

// A held request of the outer server calls the inner one at a time when that would have
// drained by then.
func TestAServerDrainsAfterTheServersThatCallIt(t *testing.T) {
	for name, after := range map[string]bool{"with DrainAfter": true, "control: without DrainAfter": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, g := manager(t, shutdown.Config{}), newGate(t)
			inner := startOn(t, m, handle(func(http.ResponseWriter, *http.Request) {}), listen(t))
			var answer reply
			outer := startOn(t, m, handle(func(w http.ResponseWriter, r *http.Request) {
				g.ServeHTTP(w, r)
				answer = get(t, newClient(t), "http://"+inner.Addr().String())
			}), listen(t))
			if after {
				inner.DrainAfter(outer.Drained())
			}
			held := later(t, newClient(t), "http://"+outer.Addr().String())
			within(t, "the request", g.entered)
			ended := wait(m)
			m.Begin(nil)
			waitRefused(t, outer.Addr().String())
			if !after {
				within(t, "the inner server's end", inner.Drained())
			}
			g.Open()
			require.NoError(t, within(t, "the answer", held).err)
			require.NoError(t, within(t, "the end", ended))
			within(t, "the inner server's end", inner.Drained())
			require.Equal(t, after, answer.err == nil, "%v", answer.err)
		})
	}
}

func TestDrainAfterPanicsOnANilChannel(t *testing.T) {
	s := startOn(t, manager(t, shutdown.Config{}), handle(func(http.ResponseWriter, *http.Request) {}), listen(t))
	require.PanicsWithValue(t, "httpserver: DrainAfter: channel 2 of 2 is nil", func() { s.DrainAfter(make(chan struct{}), nil) })
}

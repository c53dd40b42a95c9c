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

// Its handler runs on, although net/http has no connection any more.
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
	case <-time.After(200 * time.Millisecond): // nothing has to happen
	}
	socket.client.send("bye\n")
	within(t, "the drain", s.Drained())
	require.NoError(t, end(t, m))
}

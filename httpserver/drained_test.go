package httpserver_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

func TestDrainedIsClosedWhenTheServerHasDrained(t *testing.T) {
	t.Parallel()
	m, g := manager(t, shutdown.Config{}), newGate(t)
	srv := &http.Server{Handler: g}
	within(t, "a server that has not been started", httpserver.Drained(srv))
	addr := start(t, m, srv)
	drained := httpserver.Drained(srv)
	requireOpen := func() {
		t.Helper()
		select {
		case <-drained:
			require.Fail(t, "it has not drained")
		default:
		}
	}
	requireOpen()
	answer := later(t, newClient(t), "http://"+addr)
	within(t, "the request", g.entered)
	m.Begin(nil)
	waitRefused(t, addr)
	requireOpen()
	g.Open()
	require.NoError(t, within(t, "the answer", answer).err)
	within(t, "the drain", drained)
	require.NoError(t, end(t, m))
	within(t, "asked after the end", httpserver.Drained(srv))
}

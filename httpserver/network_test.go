package httpserver_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

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
		"of this module": func(t *testing.T, path string) net.Listener { return listenOn(t, "unix", path) },
		"the caller's": func(t *testing.T, path string) net.Listener {
			ln, err := net.Listen("unix", path)
			require.NoError(t, err)
			return ln
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "") // the path of t.TempDir is too long for a socket
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

// testHeldRequest runs a shutdown while a request is held.
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

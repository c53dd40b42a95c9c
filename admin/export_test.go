package admin

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// StartForTest is Start with a server that is closed at the end of the test.
func StartForTest(t testing.TB, m *shutdown.Manager, addr string, o Options) (*Server, error) {
	srv, ln, err := listen(m, addr, o)
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		serve(m, srv, ln)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-ended
	})
	return &Server{ln.Addr()}, nil
}

// BreakForTest serves on a listener that is closed.
func BreakForTest(t testing.TB, m *shutdown.Manager) {
	srv, ln, err := listen(m, "127.0.0.1:0", Options{})
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	serve(m, srv, ln)
}

// Waiting reports whether Wait of m has been called.
func Waiting(m *shutdown.Manager) bool {
	select {
	case <-m.Waiting():
		return true
	default:
		return false
	}
}

// SetHostname sets the host name that the status page shows.
func SetHostname(name string) { hostname = func() (string, error) { return name, nil } }

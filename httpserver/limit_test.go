package httpserver_test

import (
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// limited has a limit of open connections, like netutil.LimitListener.
type limited struct {
	net.Listener
	free chan struct{}
}

func (l limited) Accept() (net.Conn, error) {
	l.free <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{conn, sync.OnceFunc(func() { <-l.free })}, nil
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// A connection that waits at the limit of a listener is accepted when another one ends
// during the drain, also if that ends because of WorkContext.
func TestAConnectionThatWaitsAtTheListenersLimitIsAnswered(t *testing.T) {
	for name, test := range map[string]struct {
		config shutdown.Config
		first  func(w http.ResponseWriter, r *http.Request)
		fails  bool
	}{
		"an idle connection is closed": {shutdown.Config{}, func(http.ResponseWriter, *http.Request) {}, false},
		"a request is cancelled": {
			shutdown.Config{GracePeriod: 40 * time.Second, Timeout: 12 * time.Second, Reserve: 2 * time.Second},
			func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := manager(t, test.config)
			entered := make(chan struct{}, 2)
			mux := http.NewServeMux()
			mux.HandleFunc("/first", func(w http.ResponseWriter, r *http.Request) {
				entered <- struct{}{}
				test.first(w, r)
			})
			mux.HandleFunc("/second", func(http.ResponseWriter, *http.Request) {})
			ln := listen(t)
			startOn(t, m, &http.Server{Handler: mux}, limited{ln, make(chan struct{}, 1)})
			first := dialRaw(t, ln.Addr().String())
			first.get("/first")
			within(t, "the first", entered)
			second := dialRaw(t, ln.Addr().String())
			second.get("/second")
			require.Equal(t, test.fails, end(t, m) != nil)
			require.Equal(t, 200, second.response().status)
		})
	}
}

package httpserver_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

func TestAHandlerThatDoesNotReturnIsCutOffAndReported(t *testing.T) {
	for name, begin := range map[string]func(*shutdown.Manager){
		"at the end of Drain": func(m *shutdown.Manager) { m.Begin(nil) },
		"by force":            func(m *shutdown.Manager) { m.Force(nil) },
		"by force in the drain": func(m *shutdown.Manager) {
			m.Begin(nil)
			for m.Phase() < shutdown.Drain {
				time.Sleep(time.Millisecond)
			}
			m.Force(nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ln net.Listener = listen(t)
			_, err := cutOff(t, begin, ln, func() rawConn { return dialRaw(t, ln.Addr().String()) })
			requireCut(t, err, name)
			require.True(t, refused("tcp", ln.Addr().String()))
		})
		t.Run(name+", in virtual time", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				network := newPipeNet()
				took, err := cutOff(t, begin, network, func() rawConn { return network.dialRaw(t) })
				requireCut(t, err, name)
				// On a busy machine the hook may be abandoned before it returns the error.
				require.ErrorContains(t, err, "3 connections cut off")
				if name == "at the end of Drain" {
					require.Equal(t, cutAfter, took)
				} else {
					require.ErrorIs(t, hookError(err), shutdown.ErrForced)
					require.NotContains(t, hookError(err).Error(), "timed out")
					require.Less(t, took, 200*time.Millisecond)
				}
				_, err = network.dial()
				require.ErrorIs(t, err, syscall.ECONNREFUSED)
			})
		})
	}
}

// requireCut checks the cause for which the requests were cut off.
func requireCut(t *testing.T, err error, how string) {
	t.Helper()
	why := shutdown.ErrForced
	if how == "at the end of Drain" {
		why = shutdown.ErrTimeout
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	require.ErrorIs(t, err, why)
	require.ErrorContains(t, err, why.Error()+": 3 tasks cut off: 3 x GET /stuck/{name} (oldest ")
}

// cutAfter is when Drain ends; Close has more time.
const cutAfter = 5 * time.Second

func cutOff(t *testing.T, begin func(*shutdown.Manager), ln net.Listener, dial func() rawConn) (took time.Duration, err error) {
	m, g := manager(t, shutdown.Config{Timeout: soon, Reserve: soon - cutAfter}), newGate(t)
	mux := http.NewServeMux()
	mux.Handle("/stuck/{name}", g)
	var closed order
	m.On(shutdown.Close, "db", func(context.Context) error { closed.add("db"); return nil })
	startOn(t, m, &http.Server{Handler: mux}, ln)
	var clients []rawConn
	for range 3 {
		c := dial()
		c.get("/stuck/x?token=secret")
		within(t, "the request", g.entered)
		clients = append(clients, c)
	}

	began := time.Now()
	ended := wait(m)
	begin(m)
	err = within(t, "the end", ended)
	took = time.Since(began)

	require.NotNil(t, hookError(err), "%v", err)
	require.NotContains(t, err.Error(), "secret")
	require.Equal(t, 1, shutdown.ExitCode(err))
	unfinished := m.Report().Unfinished
	require.Len(t, unfinished, 3)
	require.Equal(t, "GET /stuck/{name}", unfinished[0].Name)
	require.Equal(t, taskNamesOf(unfinished), taskNamesOf(m.Report().CutOff))
	require.Equal(t, []string{"db"}, closed.get(), "Close hooks run in any case")
	for _, c := range clients {
		_, err := c.r.ReadByte()
		require.ErrorIs(t, err, io.EOF, "the client is not left waiting")
	}
	g.Open()
	eventually(t, "the handlers have returned", func() bool { return len(m.Tasks()) == 0 })
	return took, err
}

func TestARequestThatPanicsIsNoLongerInFlight(t *testing.T) {
	for name, proto := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := manager(t, shutdown.Config{})
			srv := handle(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/abort":
					panic(http.ErrAbortHandler)
				case "/late":
					_, _ = io.WriteString(w, "some")
					_ = http.NewResponseController(w).Flush()
				}
				panic("what net/http logs")
			})
			var logged testlog.Buffer
			srv.ErrorLog = log.New(&logged, "", 0)
			url := proto.serve(t, srv, func(ln net.Listener) { startOn(t, m, srv, ln) })
			c := proto.client(t)
			for _, path := range []string{"/abort", "/late", "/other"} {
				require.Error(t, get(t, c, url+path).err)
			}
			eventually(t, "nothing in flight", func() bool { return len(m.Tasks()) == 0 })
			watch := startWatch(t)
			require.NoError(t, end(t, m))
			watch.requireLinger()
			require.Empty(t, m.Report().Unfinished)
			// On HTTP/2 it is logged after the client has got the error.
			eventually(t, "the log", func() bool { return strings.Count(logged.String(), "what net/http logs") == 2 })
			require.NotContains(t, logged.String(), "abort")
		})
	}
}

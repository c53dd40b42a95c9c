package httpserver_test

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/listener"
)

// This follows genericapiserver_graceful_termination_test.go of k8s.io/apiserver: the
// shutdown is held between two events, and each kind of client looks at the server.
func TestWhatEachClientSeesBetweenTheEventsOfAShutdown(t *testing.T) {
	t.Parallel()
	for name, listen := range map[string]func(t *testing.T) net.Listener{
		"a listener of this module": func(t *testing.T) net.Listener { return listen(t) },
		"a listener of package net": func(t *testing.T) net.Listener { return netListen(t) },
		"an opaque listener":        func(t *testing.T) net.Listener { return opaque{netListen(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 20 {
				if seeEachEvent(t, listen(t)) {
					return
				}
			}
			t.Fatal("this machine is too slow for this test")
		})
	}
}

// seeEachEvent reports false if this client was so slow that the server may have closed
// its connection.
func seeEachEvent(t *testing.T, ln net.Listener) bool {
	w := newWorld(t, ln)
	early, late := w.hold("early"), w.hold("late")
	silent, idle, partial := dialRaw(t, w.addr), w.connect(), w.connect()
	require.Equal(t, view{new: "200", reused: "200", probe: "running", begun: false}, w.look())

	w.m.Begin(nil)
	within(t, "the Leave hook", w.leave.entered)
	w.order.add("looked in Leave")
	require.Equal(t, view{new: "200, close", reused: "200, close", probe: "leave", begun: true}, w.look())
	require.Equal(t, view{new: "200, close", reused: "none", probe: "leave", begun: true}, w.look(), "the client has given the connection up")

	// The connection of a held request that ends in Leave is closed.
	early.release()
	require.Equal(t, reply{status: 200, close: true, body: "nested"}, early.response())
	early.requireEnd()

	// Part of a request is on its way when the drain starts.
	partial.send("GET / HTTP/1.1\r\n")
	drains := time.Now()
	w.leave.Open()
	within(t, "the Drain hook", w.drain.entered)
	_, _ = partial.Write([]byte("Host: test\r\n\r\n"))
	if time.Since(drains) > 400*time.Millisecond {
		return false // the connection may have been closed by now
	}
	require.Equal(t, reply{status: 200, close: true, body: "hello"}, partial.response())
	partial.requireEnd()
	waitRefused(t, w.addr)
	w.order.add("connection refused")
	idle.requireEnd()
	silent.requireEnd()
	require.Equal(t, view{new: "refused", reused: "none", probe: "drain", begun: true}, w.look())
	require.Contains(t, taskNames(w.m), "GET /held/{name}")

	late.release()
	require.Equal(t, reply{status: 200, close: true, body: "nested"}, late.response())
	late.requireEnd()
	require.Equal(t, shutdown.Drain, w.m.Phase(), "another hook has not returned")
	w.order.add("released the Drain hook")
	w.drain.Open()

	within(t, "the Close hook", w.close.entered)
	require.Equal(t, view{new: "refused", reused: "none", probe: "close", begun: true}, w.look())
	_, ok := w.m.Track("too late")
	require.False(t, ok)
	require.Empty(t, w.m.Tasks())
	require.Empty(t, w.ended, "Wait has returned early")
	w.close.Open()

	require.NoError(t, within(t, "the end", w.ended))
	require.Equal(t, view{new: "refused", reused: "none", probe: "done", begun: true}, w.look())
	require.Equal(t, []string{
		"early started",
		"late started",
		"begun",
		"Leave hook",
		"looked in Leave",
		"early ended",
		"Leave hook ended",
		"Drain hook",
		"connection refused",
		"late ended",
		"released the Drain hook",
		"Drain hook ended",
		"Close hook",
		"Close hook ended",
	}, w.order.get())
	require.Equal(t, []string{"leave", "leave freeze", "drain", "drain http " + w.addr, "drain freeze", "close", "close freeze"}, steps(w.m.Report()))
	return true
}

func steps(r shutdown.Report) (steps []string) {
	for _, s := range r.Steps {
		step := s.Phase.String()
		if s.Name != "" {
			step += " " + s.Name
		}
		steps = append(steps, step)
	}
	return steps
}

func netListen(t testing.TB) *net.TCPListener {
	t.Helper()
	ln, err := net.Listen("tcp", loopback.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln.(*net.TCPListener)
}

// opaque hides the socket, like tls.NewListener.
type opaque struct{ net.Listener }

func TestASharedListenerLeavesTheQueueToItsOtherOwner(t *testing.T) {
	t.Parallel()
	other := netListen(t)
	file, err := other.File()
	require.NoError(t, err)
	defer file.Close()
	ours, err := net.FileListener(file)
	require.NoError(t, err)

	m := manager(t, shutdown.Config{})
	startOn(t, m, handle(func(http.ResponseWriter, *http.Request) {}), listener.Shared(ours))
	require.Equal(t, 200, get(t, newClient(t), "http://"+other.Addr().String()).status)
	require.NoError(t, end(t, m))

	c := dialRaw(t, other.Addr().String())
	c.get("/")
	accepted, err := other.Accept()
	require.NoError(t, err)
	defer accepted.Close()
	request, err := http.ReadRequest(raw(t, accepted).r)
	require.NoError(t, err)
	require.Equal(t, "/", request.URL.Path)
}

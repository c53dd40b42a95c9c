package httpserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/listener"
)

// After k8s.io/apiserver's genericapiserver_graceful_termination_test.go: the
// shutdown is frozen between two events, and then each kind of client is asked
// what it sees.
func TestWhatEachClientSeesBetweenTheEventsOfAShutdown(t *testing.T) {
	t.Parallel()
	for name, listen := range map[string]func(t *testing.T) net.Listener{
		"a listener of its own":                func(t *testing.T) net.Listener { return listen(t) },
		"the caller's listener":                func(t *testing.T) net.Listener { return netListen(t) },
		"a listener that nobody can look into": func(t *testing.T) net.Listener { return opaque{netListen(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 20 {
				if seeEachEvent(t, listen(t)) {
					return
				}
			}
			t.Fatal("this machine is too busy to tell")
		})
	}
}

// seeEachEvent reports false if this client was so slow that the server may have
// given it up.
func seeEachEvent(t *testing.T, ln net.Listener) bool {
	w := newWorld(t, ln)
	early, late := w.hold("early"), w.hold("late")
	silent, idle, speaking := dialRaw(t, w.addr), w.connect(), w.connect()
	require.Equal(t, view{new: "200", reused: "200", probe: "running", begun: false}, w.look())

	w.m.Begin(nil)
	within(t, "the Leave hook", w.leave.entered)
	w.order.add("left the service")
	require.Equal(t, view{new: "200, close", reused: "200, close", probe: "leave", begun: true}, w.look())
	require.Equal(t, view{new: "200, close", reused: "none", probe: "leave", begun: true}, w.look(), "the connection has been given up")

	// A held request that ends in Leave takes its connection with it.
	early.release()
	require.Equal(t, reply{status: 200, close: true, body: "nested"}, early.response())
	early.requireEnd()

	// Half a request is on its way when the drain begins.
	speaking.send("GET / HTTP/1.1\r\n")
	drains := time.Now()
	w.leave.Open()
	within(t, "the Drain hook", w.drain.entered)
	_, _ = speaking.Write([]byte("Host: test\r\n\r\n"))
	if time.Since(drains) > 400*time.Millisecond {
		return false // so long after half a request it may have been closed
	}
	require.Equal(t, reply{status: 200, close: true, body: "hello"}, speaking.response())
	speaking.requireEnd()
	waitRefused(t, w.addr)
	w.order.add("refused a connection")
	idle.requireEnd()
	silent.requireEnd()
	require.Equal(t, view{new: "refused", reused: "none", probe: "drain", begun: true}, w.look())
	require.Contains(t, taskNames(w.m), "GET /held/{name}")

	late.release()
	require.Equal(t, reply{status: 200, close: true, body: "nested"}, late.response())
	late.requireEnd()
	require.Equal(t, shutdown.Drain, w.m.Phase(), "another hook is not done")
	w.order.add("let the Drain hook go")
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
		"early came in",
		"late came in",
		"begun",
		"Leave hook",
		"left the service",
		"early goes out",
		"Leave hook over",
		"Drain hook",
		"refused a connection",
		"late goes out",
		"let the Drain hook go",
		"Drain hook over",
		"Close hook",
		"Close hook over",
	}, w.order.get())
	require.Equal(t, []string{"leave", "leave freeze", "drain", "drain http " + w.addr, "drain freeze", "close", "close freeze"}, steps(w.m.Report()))
	return true
}

// A world is a server under shutdown, and those who look at it.
type world struct {
	t                   testing.TB
	m                   *shutdown.Manager
	addr, url, probe    string
	leave, drain, close *gate
	gates               sync.Map      // *gate by the name of the request
	begun               chan struct{} // closed when order has "begun"
	order               order
	ended               <-chan error
	keepAlive           rawConn
	gone                bool // keepAlive was told to leave
}

func newWorld(t *testing.T, ln net.Listener) *world {
	m := manager(t, shutdown.Config{LameDuck: -1})
	w := &world{t: t, m: m, addr: ln.Addr().String(), begun: make(chan struct{}), ended: wait(m)}
	w.url = "http://" + w.addr
	w.leave, w.drain, w.close = newGate(t), newGate(t), newGate(t)

	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "hello") })
	startOn(t, m, &http.Server{Handler: mux}, ln)
	w.freeze(shutdown.Leave, "Leave hook", w.leave)
	w.freeze(shutdown.Drain, "Drain hook", w.drain)
	w.freeze(shutdown.Close, "Close hook", w.close)
	mux.HandleFunc("/held/{name}", w.held)
	context.AfterFunc(m.AcceptContext(), func() {
		w.order.add("begun")
		close(w.begun)
	})

	// The probes have a server of their own, which the shutdown leaves alone.
	probe := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, m.Phase().String())
	})}
	probes := netListen(t)
	w.probe = "http://" + probes.Addr().String()
	go func() { _ = probe.Serve(probes) }()
	t.Cleanup(func() { _ = probe.Close() })

	w.keepAlive = w.connect()
	return w
}

// freeze registers a hook that waits for the gate.
func (w *world) freeze(p shutdown.Phase, name string, g *gate) {
	w.m.On(p, "freeze", func(context.Context) error {
		if p == shutdown.Leave {
			<-w.begun // the two are concurrent, and this puts them in an order
		}
		w.order.add(name)
		g.pass()
		w.order.add(name + " over")
		return nil
	})
}

// connect returns a keep-alive connection that has been used once.
func (w *world) connect() rawConn {
	c := dialRaw(w.t, w.addr)
	c.get("/")
	require.Equal(w.t, reply{status: 200, body: "hello"}, c.response())
	return c
}

type held struct {
	rawConn
	release func()
}

// hold sends a request that is answered only when it is released.
func (w *world) hold(name string) held {
	g := newGate(w.t)
	h := held{dialRaw(w.t, w.addr), g.Open}
	w.gates.Store(name, g)
	h.get("/held/" + name)
	within(w.t, name, g.entered)
	return h
}

// held is the handler. Its nested work is let in whatever the phase.
func (w *world) held(rw http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	g, _ := w.gates.Load(name)
	w.order.add(name + " came in")
	g.(*gate).pass()
	m, _ := shutdown.FromContext(r.Context())
	done, ok := m.Track("nested")
	defer done()
	w.order.add(name + " goes out")
	if ok && r.Context().Err() == nil {
		_, _ = io.WriteString(rw, "nested")
	}
}

// A view is what there is to be seen at one moment.
type view struct {
	new    string // by a client that dials
	reused string // by one that has a connection
	probe  string // the phase that /readyz sees
	begun  bool   // by a loop that asks AcceptContext
}

func (w *world) look() (v view) {
	w.t.Helper()
	v.begun = w.m.AcceptContext().Err() != nil
	v.probe = get(w.t, newClient(w.t), w.probe).body
	v.new, v.reused = "refused", "none"
	if !refused("tcp", w.addr) {
		v.new = seen(get(w.t, newClient(w.t), w.url))
	}
	if !w.gone {
		w.keepAlive.get("/")
		r := w.keepAlive.response()
		v.reused, w.gone = seen(r), r.close
		if r.close {
			w.keepAlive.requireEnd()
		}
	}
	return v
}

func seen(r reply) string {
	switch {
	case errors.Is(r.err, syscall.ECONNREFUSED):
		return "refused"
	case r.err != nil:
		return r.err.Error()
	case r.close:
		return fmt.Sprint(r.status, ", close")
	}
	return fmt.Sprint(r.status)
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

// opaque hides the socket, as tls.NewListener does.
type opaque struct{ net.Listener }

func TestTheLameDuckServesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lameDuck, each = 1500 * time.Millisecond, 10 * time.Millisecond
		m, network := manager(t, shutdown.Config{LameDuck: lameDuck}), newPipeNet()
		startOn(t, m, handle(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Phase", m.Phase().String())
		}), network)
		drained := make(chan time.Duration, 1)
		m.On(shutdown.Drain, "when", func(context.Context) error {
			drained <- time.Since(m.Report().Begun)
			return nil
		})
		ended := wait(m)
		m.Begin(nil)

		inLeave := 0
		time.Sleep(each / 2) // beside the end of the lame duck
		for ; m.Phase() == shutdown.Leave; inLeave++ {
			r := get(t, network.client(t, protocols["HTTP/1.1"]), "http://pipe")
			require.NoError(t, r.err)
			require.Equal(t, 200, r.status)
			time.Sleep(each)
		}
		require.Equal(t, int(lameDuck/each), inLeave)
		require.Equal(t, lameDuck, within(t, "the Drain hook", drained))
		require.NoError(t, within(t, "the end", ended))
		_, err := network.dial()
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

// The same on a socket, and without a clock: in Leave a client that dials is
// accepted and answered, and after the drain it is refused.
func TestTheLameDuckAcceptsOnASocket(t *testing.T) {
	t.Parallel()
	m := manager(t, shutdown.Config{LameDuck: 100 * time.Millisecond})
	addr := start(t, m, handle(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, m.Phase().String())
	}))
	// The lame duck may be over before this test has got to its first request.
	served := newGate(t)
	m.On(shutdown.Leave, "wait for a client", func(context.Context) error {
		served.pass()
		return nil
	})
	ended := wait(m)
	m.Begin(nil)
	within(t, "the Leave hook", served.entered)
	for range 3 {
		r := get(t, newClient(t), "http://"+addr)
		require.NoError(t, r.err)
		require.Equal(t, 200, r.status)
		require.Equal(t, "leave", r.body)
	}
	served.Open()
	require.NoError(t, within(t, "the end", ended))
	require.True(t, refused("tcp", addr))
}

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

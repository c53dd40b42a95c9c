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

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// A world is a server during its shutdown and its clients.
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
	closed              bool // keepAlive has got "Connection: close"
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

	// The probes have a server that the shutdown does not affect.
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

// freeze registers a hook that waits for the gate to open.
func (w *world) freeze(p shutdown.Phase, name string, g *gate) {
	w.m.On(p, "freeze", func(context.Context) error {
		if p == shutdown.Leave {
			<-w.begun // makes the order of the two certain
		}
		w.order.add(name)
		g.pass()
		w.order.add(name + " ended")
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

// hold sends a request that is answered when it is released.
func (w *world) hold(name string) held {
	g := newGate(w.t)
	h := held{dialRaw(w.t, w.addr), g.Open}
	w.gates.Store(name, g)
	h.get("/held/" + name)
	within(w.t, name, g.entered)
	return h
}

// held is the handler. Work that it starts is accepted in every phase.
func (w *world) held(rw http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	g, _ := w.gates.Load(name)
	w.order.add(name + " started")
	g.(*gate).pass()
	m, _ := shutdown.FromContext(r.Context())
	done, ok := m.Track("nested")
	defer done()
	w.order.add(name + " ended")
	if ok && r.Context().Err() == nil {
		_, _ = io.WriteString(rw, "nested")
	}
}

// A view is what the clients see at one moment.
type view struct {
	new    string // on a new connection
	reused string // on a keep-alive connection
	probe  string // the phase in /readyz
	begun  bool   // AcceptContext has ended
}

func (w *world) look() (v view) {
	w.t.Helper()
	v.begun = w.m.AcceptContext().Err() != nil
	v.probe = get(w.t, newClient(w.t), w.probe).body
	v.new, v.reused = "refused", "none"
	if !refused("tcp", w.addr) {
		v.new = seen(get(w.t, newClient(w.t), w.url))
	}
	if !w.closed {
		w.keepAlive.get("/")
		r := w.keepAlive.response()
		v.reused, w.closed = seen(r), r.close
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

package httpserver_test

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/gracefulgo/shutdown"
)

// A gate blocks requests until it is opened.
type gate struct {
	entered chan struct{} // a token for each request
	open    chan struct{}
	once    sync.Once
}

func newGate(t testing.TB) *gate {
	g := &gate{entered: make(chan struct{}, 1000), open: make(chan struct{})}
	t.Cleanup(g.Open)
	return g
}

func (g *gate) Open() { g.once.Do(func() { close(g.open) }) }

func (g *gate) pass() {
	g.entered <- struct{}{}
	<-g.open
}

func (g *gate) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	g.pass()
	_, _ = io.WriteString(w, "held")
}

// hook is a hook that holds the shutdown in its phase.
func (g *gate) hook(context.Context) error {
	g.pass()
	return nil
}

// frozen starts the shutdown of m and holds it in Leave until the gate is opened.
func frozen(t testing.TB, m *shutdown.Manager) *gate {
	t.Helper()
	g := newGate(t)
	m.On(shutdown.Leave, "freeze", g.hook)
	m.Begin(nil)
	within(t, "the Leave hook", g.entered)
	return g
}

package httpserver

import (
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"weak"

	"golang.org/x/sync/errgroup"
)

// hijacked are the connections that handlers have taken from net/http.
type hijacked struct {
	mu      sync.Mutex // protects what follows
	running map[*conn]struct{}
	left    map[uint64]func() // closes one whose handler has returned
	next    uint64
}

func (h *hijacked) add(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running == nil {
		h.running, h.left = make(map[*conn]struct{}), make(map[uint64]func())
	}
	h.running[c] = struct{}{}
}

// returned is called when the handler has returned. If it has left the connection
// to somebody else, nobody says when that has closed it, so it is held weakly.
func (h *hijacked) returned(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, c)
	id := h.next
	h.next++
	switch c := bare(c.outer).(type) {
	case *net.TCPConn:
		h.left[id] = closer(h, id, c)
	case *net.UnixConn:
		h.left[id] = closer(h, id, c)
	case *tls.Conn:
		h.left[id] = closer(h, id, c)
	}
}

func closer[T any, P interface {
	*T
	net.Conn
}](h *hijacked, id uint64, c P) func() {
	pointer := weak.Make((*T)(c))
	runtime.AddCleanup((*T)(c), func(id uint64) {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.left, id)
	}, id)
	return func() {
		if c := P(pointer.Value()); c != nil {
			_ = c.Close() // it may be closed already
		}
	}
}

// handlers reports how many handlers have not returned, but for those that nobody
// waits for.
func (h *hijacked) handlers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for c := range h.running {
		if q := c.request.Load(); q == nil || !q.untracks.Load() {
			n++
		}
	}
	return n
}

// any reports whether a connection may be open.
func (h *hijacked) any() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.running)+len(h.left) > 0
}

// close closes those that are open.
func (h *hijacked) close() {
	h.mu.Lock()
	closers := slices.Collect(maps.Values(h.left))
	for c := range h.running {
		closers = append(closers, func() { _ = c.outer.Close() }) // it may be closed already
	}
	h.mu.Unlock()
	var group errgroup.Group
	group.SetLimit(maxClosers)
	for _, closeOne := range closers {
		group.Go(func() error { closeOne(); return nil })
	}
	_ = group.Wait()
}

// isOldH2C reports whether x/net's h2c has taken the connection. It goes on saying
// what it is doing, with the states of net/http.
func (c *conn) isOldH2C() bool {
	q := c.request.Load()
	return q != nil && (q.method == "PRI" || q.upgrades)
}

// ended is called when the handler of a request of HTTP/1 has returned.
func (s *conns) ended(c *conn) {
	if q := c.request.Load(); q.upgrades && q.untracks.Load() {
		s.changed(c.outer, http.StateClosed) // x/net's server does not say so
	}
	q := c.request.Swap(nil)
	if q.untracks.Load() {
		s.free.Add(-1)
	}
	if q.goesOn.Load() && s.draining.Load() {
		s.mu.Lock()
		s.ends++
		s.mu.Unlock()
	}
	if http.ConnState(c.state.Load()) == http.StateHijacked {
		s.hijacked.returned(c)
		s.wakeIfDraining()
	}
}

package httpserver

import (
	"crypto/tls"
	"maps"
	"net"
	"runtime"
	"slices"
	"sync"
	"weak"

	"golang.org/x/sync/errgroup"
)

// hijacked is the set of connections that handlers have hijacked.
type hijacked struct {
	mu       sync.Mutex // protects what follows
	running  map[*conn]struct{}
	detached map[uint64]func() // each closes a connection whose handler has returned
	next     uint64
}

func (h *hijacked) add(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running == nil {
		h.running, h.detached = make(map[*conn]struct{}), make(map[uint64]func())
	}
	h.running[c] = struct{}{}
}

// handlerReturned is called when the handler of c has returned. Another goroutine may
// have the connection now. There is no way to know when it is closed, so it is held with
// a weak pointer.
func (h *hijacked) handlerReturned(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, c)
	id := h.next
	h.next++
	switch c := unwrap(c.outer()).(type) {
	case *net.TCPConn:
		h.detached[id] = weakCloser(h, id, c)
	case *net.UnixConn:
		h.detached[id] = weakCloser(h, id, c)
	case *tls.Conn:
		h.detached[id] = weakCloser(h, id, c)
	}
}

// weakCloser returns a function that closes c if it still exists, and removes the
// function from h.detached when it does not.
func weakCloser[T any, P interface {
	*T
	net.Conn
}](h *hijacked, id uint64, c P) func() {
	pointer := weak.Make((*T)(c))
	runtime.AddCleanup((*T)(c), func(id uint64) {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.detached, id)
	}, id)
	return func() {
		if c := P(pointer.Value()); c != nil {
			_ = c.Close() // it may be closed already
		}
	}
}

// handlers returns how many handlers have not returned, without untracked requests.
func (h *hijacked) handlers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for c := range h.running {
		if q := c.request.Load(); q == nil || !q.untracked.Load() {
			n++
		}
	}
	return n
}

// anyOpen reports whether a connection may be open.
func (h *hijacked) anyOpen() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.running)+len(h.detached) > 0
}

// close closes the connections that are open.
func (h *hijacked) close() {
	h.mu.Lock()
	closers := slices.Collect(maps.Values(h.detached))
	for c := range h.running {
		closers = append(closers, func() { _ = c.outer().Close() }) // it may be closed already
	}
	h.mu.Unlock()
	var group errgroup.Group
	group.SetLimit(maxClosers)
	for _, closeOne := range closers {
		group.Go(func() error { closeOne(); return nil })
	}
	_ = group.Wait()
}

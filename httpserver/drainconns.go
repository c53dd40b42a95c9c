package httpserver

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// maxClosers is how many connections are closed at the same time. A tls.Conn sends
	// an alert when it is closed, and waits up to 5 s for a client that does not read.
	maxClosers = 256

	// After stalledTicks in which no response without "Connection: close" has ended,
	// drain treats the remaining ones as long.
	stalledTicks = 300
)

// startDrain makes setState report the states of connections to drain.
func (s *conns) startDrain() {
	s.mu.Lock()
	s.idle = make(map[*conn]*linger)
	s.changed = make(chan struct{}, 1)
	s.mu.Unlock()
	s.draining.Store(true)
	s.all(func(c *conn) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.isIdle() && s.idle[c] == nil {
			s.idle[c] = new(linger)
		}
	})
}

// drain closes idle connections and waits for the others. It returns 0 when no
// connection is left and accepted is closed. When ctx ends, it returns the number of
// connections that are left, without hijacked ones.
//
// It calls callShutdown once, when every remaining connection has a request and will not
// take another one. A connection whose response has no "Connection: close" may have
// another request, unless the response is a long one. When work ends, it calls
// callShutdown in any case.
func (s *conns) drain(ctx, work context.Context, accepted <-chan struct{}, callShutdown func()) (left int) {
	s.startDrain()
	var closers errgroup.Group
	closers.SetLimit(maxClosers)
	tick := time.NewTicker(lingerTick)
	defer tick.Stop()
	var (
		activated, keptAlive uint64
		quiet, stalled       int
		untracked            int // ticks in which there were only untracked requests
		called, workEnded    bool
	)
	call := func() {
		if !called {
			called = true
			callShutdown()
		}
	}
	end := work.Done()
	for ticks := 0; ; {
		allAccepted := isClosed(accepted)
		if workEnded && allAccepted { // Shutdown would reset the connections in the listener's queue
			call()
		}
		done := allAccepted && s.hijacked.handlers() == 0
		if done && (s.count() == 0 || untracked > lingerSilent) {
			s.closeUntracked()
			_ = closers.Wait() // an error means that the client has closed the connection
			return 0
		}
		select {
		case <-s.changed:
			continue
		case <-end:
			end, workEnded = nil, true
			continue
		case <-ctx.Done():
			// The remaining closers return because crypto/tls has a timeout.
			return s.count()
		case <-tick.C:
		}
		ticks++
		if untracked++; !done || !s.onlyUntracked() {
			untracked = 0 // the last response may still be on its way, so this takes several ticks
		}
		s.mu.Lock()
		if len(s.idle) > 0 { // a look at thousands of connections with requests would be expensive
			quiet++
			began := s.sweepLocked(quiet > lingerSilent || ticks >= lingerMax, &closers)
			if began || activated != s.activated {
				quiet, activated = 0, s.activated
			}
		}
		if stalled++; keptAlive != s.keptAlive {
			stalled, keptAlive = 0, s.keptAlive
		}
		busy := len(s.idle) == 0 && allAccepted
		s.mu.Unlock()
		if busy && !called && ticks%lingerSilent == 0 && (stalled >= stalledTicks && !s.anyHTTP2TakesRequests() || !s.anyKeepsAlive()) {
			call()
		}
	}
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// anyKeepsAlive reports whether a connection may take another request after the present
// one.
func (s *conns) anyKeepsAlive() (found bool) {
	s.all(func(c *conn) {
		switch q := c.request.Load(); {
		case c.usesHTTP2():
			found = found || c.wire().streams.mayTakeRequests()
		case q == nil: // a response is about to be written, or a request to be handled
			found = true
		default:
			found = found || q.keepsAlive.Load()
		}
	})
	return found
}

// anyHTTP2TakesRequests reports whether an HTTP/2 connection may take another request.
// http.Server.Shutdown would send it a GOAWAY, which discards requests on their way.
func (s *conns) anyHTTP2TakesRequests() (found bool) {
	s.all(func(c *conn) { found = found || c.usesHTTP2() && c.wire().streams.mayTakeRequests() })
	return found
}

// sweepLocked closes connections that have lingered long enough; silent ones only if
// closeSilent is true. It reports whether one has started a request since the last sweep.
func (s *conns) sweepLocked(closeSilent bool, closers *errgroup.Group) (began bool) {
	for c, l := range s.idle {
		enough, started := l.tick(c, closeSilent)
		began = began || started
		if enough && l.closing.CompareAndSwap(false, true) {
			seen := l.seen
			// If all closers are busy, the next sweep tries again.
			if !closers.TryGo(func() error { return c.close(l, seen) }) {
				l.closing.Store(false)
				return began
			}
		}
	}
	return began
}

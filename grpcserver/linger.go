package grpcserver

import (
	"context"
	"slices"
	"time"
)

// The linger is measured in ticks of its clock. On a machine that is ten times slower,
// clients need ten times as long to send an RPC, and ticks are as late as they are.
const (
	lingerTick    = 5 * time.Millisecond
	lingerQuiet   = 50  // ticks in which no connection has made progress
	lingerPartial = 100 // ticks in which a connection with part of a handshake has sent nothing
	lingerMax     = 200 // ticks in all, for each connection

	// A connection that is older than this is not waited for: it was not made for an RPC
	// that is still to come. The limit is long because it is not measured in ticks.
	firstRPCLimit = 10 * time.Second
)

// A linger is what conns.linger knows about a connection. Only its goroutine uses it.
type linger struct {
	reads      uint64 // of the socket at the last tick
	quiet      int    // ticks without a byte
	partial    int    // ticks since the first byte
	handshaken bool   // at the last tick
}

// linger waits for handshakes, and then for the first RPC of new connections. It closes
// connections whose handshake does not complete. When it returns, there is no connection
// that would block GracefulStop, and none that GracefulStop would close. When ctx ends, it
// closes all connections that it is waiting for.
//
// Clients that share a processor make progress in turn. So as long as one connection
// makes progress, all are waited for.
func (s *conns) linger(ctx context.Context) {
	s.mu.Lock()
	s.changed = make(chan struct{}, 1)
	s.mu.Unlock()
	tick := time.NewTicker(lingerTick)
	defer tick.Stop()
	waiting := s.all() // no more will be accepted
	for ticks, quiet := 0, 0; ; {
		waiting = slices.DeleteFunc(waiting, func(c *conn) bool {
			if c.hadRPC.Load() {
				quiet = 0
			}
			return c.closed.Load() || c.hasStarted(firstRPCLimit)
		})
		if len(waiting) == 0 {
			return
		}
		select {
		case <-s.changed:
			continue
		case <-ctx.Done():
			for _, c := range waiting {
				_ = c.Close() // the client may have closed it already
			}
			return
		case <-tick.C:
		}
		ticks++
		quiet++
		for _, c := range waiting {
			if c.tick() {
				quiet = 0
			}
		}
		over := quiet > lingerQuiet || ticks >= lingerMax
		waiting = slices.DeleteFunc(waiting, func(c *conn) bool { return over && c.linger.handshaken })
		for _, c := range waiting {
			switch {
			case !c.isOverdue(over):
			case c.linger.partial == 0:
				endIfSilent(c.raw.Conn)
			default:
				_ = c.Close() // the client may have closed it already
			}
		}
	}
}

// hasStarted reports whether the handshakes have completed, and there has been an RPC or
// enough time for one.
func (c *conn) hasStarted(limit time.Duration) bool {
	at := c.handshaken.Load()
	return at != nil && (c.hadRPC.Load() || time.Since(*at) > limit)
}

// tick is called for each tick. It reports whether the connection has made progress: its
// first bytes have arrived, or its handshakes have completed.
func (c *conn) tick() (progress bool) {
	l := &c.linger
	if c.handshaken.Load() != nil {
		progress = !l.handshaken
		l.handshaken = true
		return progress
	}
	reads := c.raw.reads.Load()
	l.quiet++
	// Bytes that gRPC has not read yet count too.
	if reads != l.reads || readable(c.raw.Conn) {
		l.reads, l.quiet = reads, 0
	}
	if reads > 0 {
		l.partial++
	}
	return l.partial == 1
}

// isOverdue reports whether the handshakes have had enough time.
func (c *conn) isOverdue(closeSilent bool) bool {
	l := &c.linger
	if c.handshaken.Load() != nil {
		return false
	}
	if l.partial == 0 {
		return closeSilent && l.quiet >= lingerQuiet
	}
	return l.quiet >= lingerPartial || l.partial >= lingerMax
}

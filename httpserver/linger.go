package httpserver

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// The linger is measured in ticks of the drain's clock. On a machine that is ten times
// slower, clients need ten times as long to send a request, and ticks are as late as
// they are.
const (
	lingerTick    = 5 * time.Millisecond
	lingerSilent  = 10  // ticks in which no idle connection has started a request
	lingerPartial = 100 // ticks in which a connection with part of a request has sent nothing
	lingerMax     = 200 // ticks in all, for either
)

// A linger is what the drain knows about a connection without a request. Only the
// goroutine of drain uses it, except for the atomics.
type linger struct {
	seen    uint64 // how much had arrived at the last tick
	quiet   int    // ticks in which nothing arrived
	partial int    // ticks since part of a request arrived
	// Set by the goroutine that closes the connection:
	hasPartial atomic.Bool // part of a request has arrived
	closing    atomic.Bool // that goroutine runs
	restart    atomic.Bool // the connection has to linger once more
	// Used by that goroutine only: how often net/http had not sent its SETTINGS, and how
	// often the same number of bytes was unacknowledged.
	noSettings     int
	noProgress     int
	unacknowledged int
}

// tick is called for each tick. It reports whether the connection has lingered long
// enough, and whether it has started a request.
func (l *linger) tick(c *conn, closeSilent bool) (enough, began bool) {
	l.quiet++
	silent := !l.hasPartial.Load()
	w := c.wire()
	if w != nil {
		silent = w.silent()
	}
	// If reads are not counted, the kernel is asked, but only if it matters.
	if w != nil || !silent {
		if n := c.arrived(); n != l.seen || l.restart.Swap(false) {
			l.seen, l.quiet = n, 0
		}
	}
	enough = closeSilent && l.quiet >= lingerSilent
	switch {
	case silent:
		l.partial = 0
	case c.usesHTTP2(): // what arrives on an idle HTTP/2 connection may be a PING
		l.partial++
		enough = enough || l.partial >= lingerMax
	default:
		began = l.partial == 0
		l.partial++
		enough = l.quiet >= lingerPartial || l.partial >= lingerMax
	}
	return enough, began
}

// arrived returns a number that grows when something arrives.
func (c *conn) arrived() uint64 {
	if w := c.wire(); w != nil {
		return w.reads.Load()
	}
	n, _ := received(c.socket(), false)
	return n
}

// close closes the connection, unless something has arrived since arrived returned seen.
// On HTTP/2 it first sends a GOAWAY and leaves the closing to a later call.
func (c *conn) close(l *linger, seen uint64) error {
	defer l.closing.Store(false)
	socket := c.socket()
	if !c.isIdle() || readable(socket) {
		return nil
	}
	w := c.wire()
	if w == nil {
		if !l.hasPartial.Load() {
			// The first call has to find out whether part of a request has arrived.
			n, partial := received(socket, http.ConnState(c.state.Load()) == http.StateNew)
			if partial {
				l.hasPartial.Store(true)
				return nil
			}
			seen = n
		}
		_, inTLS := c.outer().(*tls.Conn) // the caller's
		l.end(socket, inTLS, func() bool {
			n, _ := received(socket, false)
			return c.isIdle() && n == seen
		})
		return nil
	}
	if seen != w.reads.Load() {
		return nil
	}
	// net/http reports an HTTP/2 connection as idle when the end of the last response is
	// still in a buffer.
	if w.writesStarted.Load() != w.writesEnded.Load() || w.midFrame() {
		return nil
	}
	if w.isHTTP2() {
		if w.streams.goAwayIfIdle() {
			l.restart.Store(true)
			return nil
		}
		// The client has just connected and may be about to send a request.
		if l.noSettings < lingerPartial && !w.isClearHTTP2() && !w.settingsSent() {
			l.noSettings++
			return nil
		}
	}
	// In either case net/http sees the end and reports StateClosed.
	l.end(socket, c.inTLS(), func() bool { // net/http may have been faster
		return c.isIdle() && seen == w.reads.Load() && w.writesStarted.Load() == w.writesEnded.Load()
	})
	return nil
}

// end shuts the connection down, unless its last response is still on its way. As long
// as that makes progress, a later call tries again.
func (l *linger) end(c net.Conn, inTLS bool, still func() bool) {
	n := endIfSilent(c, inTLS, l.noProgress >= lingerMax, still)
	if l.noProgress++; n != l.unacknowledged {
		l.noProgress, l.unacknowledged = 0, n
	}
}

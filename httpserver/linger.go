package httpserver

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// The linger, counted in wake-ups: on a machine that is ten times slower,
// clients need ten times as long to speak, and a tick comes as late as they do.
const (
	lingerTick     = 5 * time.Millisecond
	lingerSilent   = 10  // ticks in which no silent connection spoke
	lingerSpeaking = 100 // ticks without a byte from one that is in the middle of a header
	lingerMax      = 200 // ticks in all, for either
	stillTicks     = 300 // ticks in which no answer of those that go on has ended: what is left lasts
)

// maxClosers close connections at the same time: a tls.Conn says good-bye when
// it closes, and waits up to 5 s for a client that does not read.
const maxClosers = 256

// patience is what the drain has with a connection that has no request. But for
// the atomics, it is for the goroutine in drain alone.
type patience struct {
	seen     uint64      // how much had come at the last tick
	quiet    int         // ticks in which nothing came
	speaking int         // ticks in the middle of a header
	spoken   atomic.Bool // it is in the middle of one, a closer has found
	closing  atomic.Bool // a closer has it
	renewed  atomic.Bool // a closer wants it to linger once more
	// For the closer that has it: how often it was not settled, and how often so
	// much was still on its way to the client.
	unsettled            int
	notArrived, underWay int
}

// begin is the beginning of the drain.
func (s *conns) begin() {
	s.mu.Lock()
	s.useless = make(map[*conn]*patience)
	s.moved = make(chan struct{}, 1)
	s.mu.Unlock()
	s.draining.Store(true)
	s.all(func(c *conn) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.useless() && s.useless[c] == nil {
			s.useless[c] = new(patience)
		}
	})
}

// drain closes connections that are of no use any more and waits for the others.
// It returns when there is none and no more will come, or when ctx ends, with the
// number of those that are left, hijacked ones aside. It calls tell when all that
// are left have a request, and will take no other: an answer whose header has said
// so may have one behind it, unless it lasts. At the end of work it does in any case.
func (s *conns) drain(ctx, work context.Context, noMore <-chan struct{}, tell func()) (left int) {
	s.begin()
	var closers errgroup.Group
	closers.SetLimit(maxClosers)
	tick := time.NewTicker(lingerTick)
	defer tick.Stop()
	var (
		spoke, ends  uint64
		quiet, still int
		free         int // ticks in which there were only requests that nobody waits for
		said, late   bool
	)
	say := func() {
		if !said {
			said = true
			tell()
		}
	}
	end := work.Done()
	for ticks := 0; ; {
		accepted := isClosed(noMore)
		if late && accepted { // Shutdown would close the listener, with whoever waits there
			say()
		}
		done := accepted && s.hijacked.handlers() == 0
		if done && (s.count() == 0 || free > lingerSilent) {
			s.closeFree()
			_ = closers.Wait() // errors are of connections that the client has closed
			return 0
		}
		select {
		case <-s.moved:
			continue
		case <-end:
			end, late = nil, true
			continue
		case <-ctx.Done():
			// Closers that are left end by themselves, crypto/tls sees to that.
			return s.count()
		case <-tick.C:
		}
		ticks++
		if free++; !done || !s.onlyFree() {
			free = 0 // for a while, because the last answer may still be on its way
		}
		s.mu.Lock()
		if len(s.useless) > 0 { // with thousands in flight a look at each costs
			quiet++
			began := s.sweepLocked(quiet > lingerSilent || ticks >= lingerMax, &closers)
			if began || spoke != s.spoke {
				quiet, spoke = 0, s.spoke
			}
		}
		if still++; ends != s.ends {
			still, ends = 0, s.ends
		}
		busy := len(s.useless) == 0 && accepted
		s.mu.Unlock()
		if busy && !said && ticks%lingerSilent == 0 && (still >= stillTicks && s.allTold() || !s.anyGoesOn()) {
			say()
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

// anyGoesOn reports whether a connection may take another request when it has been
// answered.
func (s *conns) anyGoesOn() (found bool) {
	s.all(func(c *conn) {
		switch q := c.request.Load(); {
		case c.usesHTTP2():
			found = found || !c.wire.streams.toldToGo()
		case q == nil: // its answer is about to be written, or the next request to be handled
			found = true
		default:
			found = found || q.goesOn.Load()
		}
	})
	return found
}

// allTold reports whether all HTTP/2 connections have been told to go: to the others
// http.Server.Shutdown says it in its way, which loses what is on its way.
func (s *conns) allTold() bool {
	told := true
	s.all(func(c *conn) { told = told && (!c.usesHTTP2() || c.wire.streams.toldToGo()) })
	return told
}

// sweepLocked closes what has lingered long enough, silent connections only if
// told to. It reports whether one has begun to speak since the last sweep.
func (s *conns) sweepLocked(closeSilent bool, closers *errgroup.Group) (began bool) {
	for c, p := range s.useless {
		enough, spoke := p.look(c, closeSilent)
		began = began || spoke
		if enough && p.closing.CompareAndSwap(false, true) {
			seen := p.seen
			// What finds no place now is looked at again by the next sweep.
			if !closers.TryGo(func() error { return c.close(p, seen) }) {
				p.closing.Store(false)
				return began
			}
		}
	}
	return began
}

// look is for each tick. It reports whether the connection has lingered long
// enough, and whether it has begun to speak.
func (p *patience) look(c *conn, closeSilent bool) (enough, began bool) {
	p.quiet++
	silent := !p.spoken.Load()
	if w := c.wire; w != nil {
		silent = w.silent()
	}
	// Where reads are not counted, the kernel is asked only if it matters.
	if c.wire != nil || !silent {
		if n := c.arrived(); n != p.seen || p.renewed.Swap(false) {
			p.seen, p.quiet = n, 0
		}
	}
	enough = closeSilent && p.quiet >= lingerSilent
	switch {
	case silent:
		p.speaking = 0
	case c.usesHTTP2(): // what comes on an idle HTTP/2 connection may be a PING
		p.speaking++
		enough = enough || p.speaking >= lingerMax
	default:
		began = p.speaking == 0
		p.speaking++
		enough = p.quiet >= lingerSpeaking || p.speaking >= lingerMax
	}
	return enough, began
}

// arrived counts what has come.
func (c *conn) arrived() uint64 {
	if c.wire != nil {
		return c.wire.reads.Load()
	}
	n, _ := received(c.inner(), false)
	return n
}

// close closes the connection, unless something has come since the sweep, which
// saw so much. On HTTP/2 it says good-bye first, and leaves the closing to the
// next time.
func (c *conn) close(p *patience, seen uint64) error {
	defer p.closing.Store(false)
	if !c.useless() || readable(c.inner()) {
		return nil
	}
	w := c.wire
	if w == nil {
		if !p.spoken.Load() {
			// The first look: has it sent a part of a request?
			n, half := received(c.inner(), http.ConnState(c.state.Load()) == http.StateNew)
			if half {
				p.spoken.Store(true)
				return nil
			}
			seen = n
		}
		_, inTLS := c.outer.(*tls.Conn) // the caller's
		p.end(c.inner(), inTLS, func() bool {
			n, _ := received(c.inner(), false)
			return c.useless() && n == seen
		})
		return nil
	}
	if seen != w.reads.Load() {
		return nil
	}
	// HTTP/2 is idle when the end of the last answer is in a buffer.
	if w.started.Load() != w.ended.Load() || w.midFrame() {
		return nil
	}
	if w.isHTTP2() {
		if w.streams.byeIfIdle() {
			p.renewed.Store(true)
			return nil
		}
		// Its client has just connected, and may be about to send a request.
		if p.unsettled < lingerSpeaking && !w.clearHTTP2() && !w.settled() {
			p.unsettled++
			return nil
		}
	}
	// Either way net/http sees it, and says StateClosed.
	p.end(w.inner(), c.inTLS, func() bool { // net/http may have been quicker
		return c.useless() && seen == w.reads.Load() && w.started.Load() == w.ended.Load()
	})
	return nil
}

// end ends a connection that has got its answers. As long as there is progress with
// what is on its way, it is waited for.
func (p *patience) end(c net.Conn, inTLS bool, still func() bool) {
	n := endIfSilent(c, inTLS, p.notArrived >= lingerMax, still)
	if p.notArrived++; n != p.underWay {
		p.notArrived, p.underWay = 0, n
	}
}

// isHTTP2 also knows a connection that has had no request.
func (w *wire) isHTTP2() bool {
	if http.ConnState(w.state.Load()) == http.StateIdle { // so there is no handshake to wait for
		if t, ok := w.outer.(*tls.Conn); ok && t.ConnectionState().NegotiatedProtocol == "h2" {
			w.streams.used.Store(true)
		}
	}
	return w.streams.used.Load()
}

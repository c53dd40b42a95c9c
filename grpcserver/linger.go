package grpcserver

import (
	"context"
	"slices"
	"time"
)

// How long connections have that are of no use yet, counted in wake-ups: on a
// machine that is ten times slower clients need ten times as long to speak, and
// a tick comes as late as they do.
const (
	lingerTick     = 5 * time.Millisecond
	lingerQuiet    = 50  // ticks in which none of them came further
	lingerSpeaking = 100 // ticks without a byte from one that is in the middle of a handshake
	lingerMax      = 200 // ticks in all, for each

	// Who connected longer ago than this has not done so for an RPC that is still
	// to come. It is long, because it is no count of wake-ups.
	justReady = 10 * time.Second
)

// lingered is for the goroutine in linger alone.
type lingered struct {
	reads    uint64 // of the socket at the last tick
	quiet    int    // ticks without a byte
	speaking int    // ticks since the first byte
	ready    bool   // at the last tick
}

// linger waits for the handshakes, and then for the first RPC of those who have
// just connected. It closes the connections whose handshakes do not come to an
// end: when it returns there is none that GracefulStop would wait for, and none
// that it would close. When ctx has ended, it closes all that are left.
//
// Clients that have the processor to themselves in turn come further in turn, so
// as long as one does, all are waited for.
func (s *conns) linger(ctx context.Context) {
	s.mu.Lock()
	s.changed = make(chan struct{}, 1)
	s.mu.Unlock()
	tick := time.NewTicker(lingerTick)
	defer tick.Stop()
	young := s.all() // no more will come
	for ticks, quiet := 0, 0; ; {
		young = slices.DeleteFunc(young, func(c *conn) bool {
			if c.spoken.Load() {
				quiet = 0
			}
			return c.closed.Load() || c.settled(justReady)
		})
		if len(young) == 0 {
			return
		}
		select {
		case <-s.changed:
			continue
		case <-ctx.Done():
			for _, c := range young {
				_ = c.Close() // what matters is that it has gone
			}
			return
		case <-tick.C:
		}
		ticks++
		quiet++
		for _, c := range young {
			if c.look() {
				quiet = 0
			}
		}
		over := quiet > lingerQuiet || ticks >= lingerMax
		young = slices.DeleteFunc(young, func(c *conn) bool { return over && c.lingered.ready })
		for _, c := range young {
			switch {
			case !c.stuck(over):
			case c.lingered.speaking == 0:
				endIfSilent(c.raw.Conn)
			default:
				_ = c.Close() // what matters is that it has gone
			}
		}
	}
}

// settled reports whether c has had so much time for a first RPC, or the RPC.
func (c *conn) settled(after time.Duration) bool {
	ready := c.ready.Load()
	return ready != nil && (c.spoken.Load() || time.Since(*ready) > after)
}

// look is for each tick. It reports whether c has come further since the last:
// has begun to speak, or to the end of its handshakes.
func (c *conn) look() (further bool) {
	l := &c.lingered
	if c.ready.Load() != nil {
		further = !l.ready
		l.ready = true
		return further
	}
	reads := c.raw.reads.Load()
	l.quiet++
	// What has arrived, and gRPC has not got round to, is no silence.
	if reads != l.reads || readable(c.raw.Conn) {
		l.reads, l.quiet = reads, 0
	}
	if reads > 0 {
		l.speaking++
	}
	return l.speaking == 1
}

// stuck reports whether c's handshakes have had time enough.
func (c *conn) stuck(closeSilent bool) bool {
	l := &c.lingered
	if c.ready.Load() != nil {
		return false
	}
	if l.speaking == 0 {
		return closeSilent && l.quiet >= lingerQuiet
	}
	return l.quiet >= lingerSpeaking || l.speaking >= lingerMax
}

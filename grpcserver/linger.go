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
	lingerSilent   = 20  // ticks in which no silent connection spoke
	lingerSpeaking = 100 // ticks without a byte from one that is in the middle of a handshake
	lingerMax      = 200 // ticks in all, for either
	lingerReady    = 20  // ticks from the handshake to the first RPC

	// A client has connected for an RPC, if it is not long ago.
	justReady = time.Second
)

// lingered is for the goroutine in linger alone.
type lingered struct {
	reads    uint64 // of the socket at the last tick
	quiet    int    // ticks without a byte
	speaking int    // ticks since the first byte
	ready    int    // ticks since the handshakes
}

// linger waits for the handshakes, and then for the first RPC of those who have
// just connected. It closes the connections whose handshakes do not come to an
// end: when it returns there is none that GracefulStop would wait for, and none
// that it would close. When ctx has ended, it closes all that are left.
func (s *conns) linger(ctx context.Context) {
	s.mu.Lock()
	s.changed = make(chan struct{}, 1)
	s.mu.Unlock()
	tick := time.NewTicker(lingerTick)
	defer tick.Stop()
	young := s.all() // no more will come
	for ticks, quiet := 0, 0; ; {
		young = slices.DeleteFunc(young, func(c *conn) bool { return !c.young() })
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
		for _, c := range young {
			switch {
			case !c.stuck(quiet > lingerSilent || ticks >= lingerMax):
			case c.lingered.speaking == 0:
				endIfSilent(c.raw.Conn)
			default:
				_ = c.Close() // what matters is that it has gone
			}
		}
	}
}

// young reports whether c is worth waiting for.
func (c *conn) young() bool {
	return !c.closed.Load() && !c.settled() && c.lingered.ready < lingerReady
}

// settled reports whether c has had the time for a first RPC, or the RPC.
func (c *conn) settled() bool {
	ready := c.ready.Load()
	return ready != nil && (c.spoken.Load() || time.Since(*ready) > justReady)
}

// look is for each tick. It reports whether c has begun to speak since the last.
func (c *conn) look() (began bool) {
	l := &c.lingered
	arrived := readable(c.raw.Conn) // and gRPC has not got round to it
	if c.ready.Load() != nil && !arrived {
		l.ready++
	}
	reads := c.raw.reads.Load()
	if l.quiet++; reads != l.reads || arrived {
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
		return closeSilent && l.quiet >= lingerSilent
	}
	return l.quiet >= lingerSpeaking || l.speaking >= lingerMax
}

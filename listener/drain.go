package listener

import (
	"context"
	"fmt"
	"net"
	"time"
)

const (
	// A handshake needs one more round trip, or, if the client's ACK was lost,
	// the SYN-ACK that the kernel repeats after 1 s. What has not finished by
	// then most likely never will: a port scan, a flood of forged SYNs.
	handshakeLimit = 1500 * time.Millisecond

	// A handshake that is given up by the client is no event for us, so it is
	// looked for this often; likewise connections that another owner of the
	// socket takes from the queue. Nothing is looked for while there is none.
	lookAgain = 10 * time.Millisecond

	// Where nobody can look into the queue, Drain counts the turns of this length
	// that Accept has waited: a process that is stopped, or throttled, for however
	// long has waited for one of them only.
	turn = 10 * time.Millisecond

	// After so many in vain, one after the other, the queue counts as empty.
	quietTurns = 5

	// After so many in all the drain ends in any case: clients that dial all the
	// time must not keep it from that.
	limitTurns = 100
)

// Drain closes the listener when nobody is left in its queue; see the package
// comment for the steps. It returns nil once everyone who was connected has been
// taken by an Accept call, and the listener is closed. It accepts nothing itself:
// goroutines must go on calling Accept until they get [net.ErrClosed]. If there is
// no such goroutine, Drain succeeds at once if the queue is empty, and waits
// for one otherwise.
//
// When ctx ends first, the listener is closed at once, and the error says what
// was left and wraps [context.Cause] of ctx. A Close meanwhile ends Drain with an
// error that wraps net.ErrClosed.
//
// A further call, at the same time or later, waits for the first one and returns
// its result; its own context ends only its waiting. After Close, Drain returns
// nil. A [Shared] listener is just closed.
func (l *Listener) Drain(ctx context.Context) error {
	l.mu.Lock()
	first := !l.draining
	l.draining = true
	l.mu.Unlock()

	if first {
		l.err = l.drain(ctx)
		close(l.drained)
		return l.err
	}
	select {
	case <-l.drained:
		return l.err
	default:
	}
	select {
	case <-l.drained:
		return l.err
	case <-ctx.Done():
		return fmt.Errorf("listener: wait for the drain of %s: %w", l.Addr(), context.Cause(ctx))
	}
}

func (l *Listener) drain(ctx context.Context) error {
	if l.shared {
		return l.Close()
	}
	if l.isClosed() {
		return nil
	}
	// Where new handshakes go on beginning, to wait for the present ones gains
	// nothing: over a slow network some are always under way, and on a fast one
	// looking for them takes longer than they do.
	var limit time.Time
	if l.stopNew() {
		limit = time.Now().Add(handshakeLimit)
	}
	vain := 0  // turns since Accept has last returned
	turns := 0 // turns in all, without those in which nobody accepts
	due := time.Now().Add(turn)
	for {
		left, again := l.left(limit)
		if left == "" || left == unknown && turns >= limitTurns && l.accepting.Load() > 0 {
			return l.finish()
		}
		select {
		case <-l.moved:
			vain = 0
		case <-time.After(again):
			if left != unknown || l.accepting.Load() == 0 {
				continue
			}
			if vain++; vain == quietTurns {
				select {
				case <-l.moved: // both were ready, as after a standstill
					vain = 0
				default:
					return l.finish()
				}
			}
		case <-l.closed:
			return l.finish()
		case <-ctx.Done():
			_ = l.Close() // that the drain was cut short is the news
			return fmt.Errorf("listener: drain %s: closed with %s: %w", l.Addr(), left, context.Cause(ctx))
		}
		// Whoever comes begins the wait for a turn in vain anew, but not this one.
		if now := time.Now(); !now.Before(due) {
			turns++
			if due = due.Add(turn); due.Before(now) {
				due = now.Add(turn) // what was missed is not made up for
			}
		}
	}
}

// finish closes the listener, unless Close has come first: a closed socket looks
// like one with an empty queue, so it would pass for a success.
func (l *Listener) finish() error {
	first, err := l.close()
	if !first {
		return fmt.Errorf("listener: drain %s: interrupted by Close: %w", l.Addr(), net.ErrClosed)
	}
	return err
}

const unknown = "a queue that cannot be looked into"

// left says what a Close would reset now, in words; "" is nothing. Without any
// event it is worth asking again after the time that it returns.
func (l *Listener) left(limit time.Time) (words string, again time.Duration) {
	n, ok := queued(l.socket)
	if !ok {
		return unknown, turn
	}
	if n == 0 {
		if time.Now().Before(limit) && halfDone(l.Addr()) {
			return "a handshake half done", lookAgain
		}
		// What was no handshake any more may be in the queue by now, so the queue
		// is the last to be looked at.
		n, _ = queued(l.socket)
	}
	if n > 0 {
		return "at least " + connections(n) + " in its queue", lookAgain
	}
	return "", 0
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", n)
}

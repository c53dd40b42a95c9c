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

	// Between the last SYN and the close of the port is the time of the slowest
	// handshake of late, or the shortest window. It is as long as that only if
	// everybody is near: else the kernel is asked who is in a handshake, which takes
	// it some milliseconds.
	shortestWindow = 100 * time.Microsecond
	longestWindow  = time.Millisecond

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
	if l.below != nil {
		return l.drainBelow(ctx)
	}
	var limit time.Time // of the wait for handshakes; zero if there is none
	if l.stopNew() {
		limit = time.Now().Add(handshakeLimit)
	}
	vain := 0  // turns since Accept has last returned
	turns := 0 // turns in all, without those in which nobody accepts
	due := time.Now().Add(turn)
	for {
		left, again := l.left(limit)
		if left == "" && l.tcp && !isDone(l.stopped) && l.stop(0) {
			continue // who came in the last moment is to be handed out
		}
		blind := left == unknown || left == inside
		if left == "" || blind && turns >= limitTurns && l.accepting.Load() > 0 {
			return l.finish()
		}
		select {
		case <-l.moved:
			vain = 0
		case <-time.After(again):
			if !blind || l.accepting.Load() == 0 {
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

// What cannot be counted.
const (
	unknown = "a queue that cannot be looked into"
	inside  = "connections in what the listener is wrapped in"
)

// left says what a Close would reset now, in words; "" is nothing. Without any
// event it is worth asking again after the time that it returns.
func (l *Listener) left(limit time.Time) (words string, again time.Duration) {
	n, ok := l.queued()
	if !ok {
		return unknown, turn
	}
	if n == 0 {
		if time.Now().Before(limit) && len(handshakes(l.Addr())) > 0 {
			return "a handshake half done", lookAgain
		}
		// What was no handshake any more may be in the queue by now, so the queue
		// is the last to be looked at.
		n, _ = l.queued()
	}
	switch {
	case n > 0:
		return "at least " + connections(n) + " in its queue", lookAgain
	case l.inside():
		return inside, turn
	}
	return "", 0
}

func (l *Listener) queued() (n int, ok bool) {
	if isDone(l.stopped) {
		return l.caught.len(), true
	}
	return queued(l.socket)
}

// stopNew sees to it that no more clients get connected, where no other owner of
// the socket can be hurt. It reports whether handshakes may be under way that have
// to be waited for. Where new ones go on beginning, to wait for the present ones
// gains nothing: over a slow network some are always under way, and on a fast one
// looking for them takes longer than they do.
//
// Nothing has to undo it: the socket is ours alone, and from here on every way
// ends in closing it.
func (l *Listener) stopNew() (handshakes bool) {
	if l.path != nil {
		l.path.remove()
	}
	if !l.tcp {
		return false
	}
	if window, ok := l.window(); ok {
		return !l.stop(window) && l.dropping.Load()
	}
	l.dropping.Store(true) // before any connection can inherit it
	return stopSYN(l.socket)
}

// window returns for how long handshakes may go on when no more may begin. It is
// not ok if one may take longer than a short while.
func (l *Listener) window() (window time.Duration, ok bool) {
	window = max(shortestWindow, l.slowest.at(time.Now()))
	if window > longestWindow {
		return 0, false
	}
	begun := handshakes(l.Addr())
	if len(begun) == 0 {
		return window, true
	}
	time.Sleep(lookAgain) // nobody is kept waiting yet
	for h := range handshakes(l.Addr()) {
		if begun[h] {
			return 0, false
		}
	}
	return window, true
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", n)
}

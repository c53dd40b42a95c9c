package listener

import (
	"context"
	"fmt"
	"net"
	"time"
)

const (
	// A handshake needs one more round trip or, if the client's ACK was lost, the
	// SYN-ACK that the kernel repeats after 1 s. One that takes longer most likely
	// never completes: a port scan, a flood of forged SYNs.
	handshakeLimit = 1500 * time.Millisecond

	// pollInterval is how often Drain looks for handshakes that the client has
	// given up, and for connections that another owner has taken from the queue.
	// Neither is an event for this process. Drain polls only while there are some.
	pollInterval = 10 * time.Millisecond

	// While the kernel does not list handshakes, they get this long to complete, which is
	// more than a round trip by cable takes anywhere.
	unlistedLimit = 500 * time.Millisecond

	// Where Drain cannot look into the queue, it counts intervals of this length in
	// which Accept has waited. However long the process is stopped or throttled,
	// that counts as one interval.
	acceptInterval = 10 * time.Millisecond

	// The queue is treated as empty after quietIntervals in a row without a
	// connection.
	quietIntervals = 5

	// The drain ends after maxIntervals, so that clients that dial all the time
	// cannot prolong it.
	maxIntervals = 100
)

// Drain closes the listener when its queue is empty; the package documentation has
// the steps. It blocks until Accept has taken every connection from the queue. It
// accepts nothing itself: goroutines must go on calling Accept until that returns
// [net.ErrClosed]. If there is no such goroutine, Drain returns at once if the queue
// is empty, and otherwise waits for one.
//
// If ctx ends first, Drain closes the listener. Its error says what was left in the
// queue and wraps [context.Cause] of ctx. A call of Close during the drain ends it with
// an error that wraps net.ErrClosed.
//
// A second call waits for the first and returns its result. Its context ends only its
// own wait. After Close, Drain returns nil. A [Shared] listener is only closed.
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
	if l.wraps != nil {
		return l.drainBase(ctx)
	}
	var wait handshakeWait
	if l.path != nil {
		l.path.remove()
	}
	if l.tcp {
		// It is not undone, because the socket has no other owner and is closed in any case.
		wait.bounded = l.stopNew()
	}
	quiet := 0     // intervals since Accept has last returned
	intervals := 0 // in all, without those in which Accept was not called
	due := time.Now().Add(acceptInterval)
	for {
		left, again := l.left(&wait)
		unseen := left == unknown || left == undelivered
		if left == "" || unseen && intervals >= maxIntervals && l.accepting.Load() > 0 {
			return l.finish()
		}
		select {
		case <-l.changed:
			quiet = 0
		case <-time.After(again):
			if !unseen || l.accepting.Load() == 0 {
				continue
			}
			if quiet++; quiet == quietIntervals {
				select {
				case <-l.changed: // both were ready: the process has not run for a while
					quiet = 0
				default:
					return l.finish()
				}
			}
		case <-l.closed:
			return l.finish()
		case <-ctx.Done():
			_ = l.Close() // the other error matters
			return fmt.Errorf("listener: drain %s: closed with %s: %w", l.Addr(), left, context.Cause(ctx))
		}
		// A connection resets quiet but does not restart the interval.
		if now := time.Now(); !now.Before(due) {
			intervals++
			if due = due.Add(acceptInterval); due.Before(now) {
				due = now.Add(acceptInterval) // missed intervals are not counted
			}
		}
	}
}

// finish closes the listener. It returns an error if Close was called before: a closed
// socket looks like one with an empty queue, so the drain would appear to have
// succeeded.
func (l *Listener) finish() error {
	first, err := l.close()
	if !first {
		return fmt.Errorf("listener: drain %s: interrupted by Close: %w", l.Addr(), net.ErrClosed)
	}
	return err
}

// What left returns when it does not know the number of connections.
const (
	unknown     = "a queue that cannot be inspected"
	undelivered = "connections inside a listener that wraps it"
)

// left describes what a Close would reset now; "" means nothing. If no event comes
// first, the caller should ask again after the returned time.
func (l *Listener) left(wait *handshakeWait) (words string, again time.Duration) {
	n, ok := queued(l.socket)
	if !ok {
		return unknown, acceptInterval
	}
	if n == 0 {
		if wait.inProgress(time.Now(), func() (int, bool) { return handshakes(l.Addr()) }) {
			return "a handshake in progress", pollInterval
		}
		// A handshake that has completed since may be in the queue, so look there
		// last.
		n, _ = queued(l.socket)
	}
	switch {
	case n > 0 && !l.emptied.Load(): // later ones have exceeded the limit for handshakes
		return "at least " + connections(n) + " in its queue", pollInterval
	case wait.bounded && !l.allCounted(), l.hasUndelivered():
		return undelivered, acceptInterval
	}
	return "", 0
}

// A handshakeWait decides for how long a drain waits for handshakes.
type handshakeWait struct {
	bounded bool      // no new ones start; otherwise some may always be in progress
	begun   time.Time // when the queue was first empty; a full one keeps handshakes from completing
	listed  time.Time // when the kernel last listed handshakes, or begun
}

// inProgress reports whether to wait for a handshake. The queue is empty. The function list
// is handshakes of the listener.
func (w *handshakeWait) inProgress(now time.Time, list func() (n int, ok bool)) bool {
	if !w.bounded {
		return false
	}
	if w.begun.IsZero() {
		w.begun, w.listed = now, now
	}
	if now.Sub(w.begun) >= handshakeLimit {
		return false
	}
	n, ok := list()
	if !ok {
		return now.Sub(w.listed) < unlistedLimit
	}
	w.listed = now
	return n > 0
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", n)
}

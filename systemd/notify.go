package systemd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"github.com/gracefulgo/shutdown"
)

const (
	checkEvery = 100 * time.Millisecond // until ready agrees
	checkLimit = 5 * time.Second        // of a call of ready
	sendEvery  = time.Second
	sendLimit  = 500 * time.Millisecond // of a message, if systemd does not read

	// After the Timeout the process has this time to exit, or a tenth of the Timeout if
	// that is less. It is never more than what the Manager leaves of a grace period.
	maxExit = 5 * time.Second
)

var errCheckLimit = errors.New("ready has not returned within " + checkLimit.String())

// Notify tells systemd how far the service is, for units with Type=notify. It returns at
// once and sends from a goroutine that ends when the shutdown has ended:
//
//   - READY=1 when [shutdown.Manager.Wait] has been called, which Run does when start has
//     returned, and ready has returned nil. Until then ready is called again and again,
//     100 ms after its last return, and STATUS has its error. A nil ready is always ready.
//   - STOPPING=1 when the shutdown begins, whatever has begun it.
//   - STATUS during the shutdown, once a second: what the shutdown waits for. systemctl status
//     shows it, and goes on to show the last one of a unit that has failed or was killed.
//   - EXTEND_TIMEOUT_USEC with each STATUS, so that systemd does not kill the process before
//     Config.Timeout, even if TimeoutStopSec is shorter. All of them name the same end, which
//     is a tenth of the Timeout later, 5 s at most. A process that has not exited by then is
//     killed.
//
// ready is called only before the shutdown begins, and never twice at the same time. Its
// context carries the Manager, and ends after 5 s or when the shutdown begins. A panic counts
// as an error and is logged with log/slog. A ready that ignores the end of its context does
// not delay STOPPING=1.
//
// Nothing waits for the messages: a systemd that does not read them does not delay the
// shutdown. Each is given up after 500 ms. READY=1 is repeated until it is sent. The first
// error is logged with log/slog.
//
// Notify does nothing if NOTIFY_SOCKET is not set, which is so outside of systemd and in units
// of another type without NotifyAccess. If the shutdown has begun, only the messages of the
// shutdown are sent; after its end, one. Call it once: each call sends messages of its own.
func Notify(m *shutdown.Manager, ready func(context.Context) error) {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	notify(m, ready, func(state string) error { return send(socket, state) })
}

func notify(m *shutdown.Manager, ready func(context.Context) error, send func(state string) error) {
	if ready == nil {
		ready = func(context.Context) error { return nil }
	}
	n := &notifier{m: m, ready: ready, deliver: send}
	go n.run()
}

type notifier struct {
	m       *shutdown.Manager
	ready   func(context.Context) error
	deliver func(state string) error
	failed  bool // an error of deliver is logged
}

func (n *notifier) run() {
	n.start()
	<-n.m.AcceptContext().Done()
	n.stop()
}

// start returns when READY=1 is sent, or when the shutdown has begun.
func (n *notifier) start() {
	ctx, cancel := context.WithCancel(n.m.AcceptContext())
	defer cancel()
	checks := make(chan error)
	go n.check(ctx, checks)
	status := ""
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case err = <-checks:
		}
		if ctx.Err() != nil {
			return // both were ready; READY=1 must not come after STOPPING=1
		}
		if err == nil {
			if n.send("READY=1\nSTATUS=ready") {
				return
			}
			continue
		}
		if text := "not ready: " + printable(fmt.Sprint(err), maxErrorText); text != status && n.send("STATUS="+text) { // Sprint survives an Error that panics
			status = text
		}
	}
}

// check calls ready until ctx ends. It is a goroutine of its own, because ready may ignore
// the end of its context.
func (n *notifier) check(ctx context.Context, results chan<- error) {
	select {
	case <-n.m.Waiting():
	case <-ctx.Done():
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		err := n.callReady(ctx)
		select {
		case results <- err:
		case <-ctx.Done():
			return
		}
		timer.Reset(checkEvery)
	}
}

func (n *notifier) callReady(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, checkLimit, errCheckLimit)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			value := printable(fmt.Sprint(r), maxErrorText)
			err = fmt.Errorf("panic: %s", value)
			slog.Error("systemd: ready panicked", "panic", value, "stack", string(debug.Stack()))
		}
	}()
	return n.ready(ctx)
}

// stop returns when the shutdown has ended. It sends at least one message: if main hangs after
// a shutdown that has ended at once, systemd has to know that the process is to exit.
func (n *notifier) stop() {
	ticker := time.NewTicker(sendEvery)
	defer ticker.Stop()
	state := "STOPPING=1\n"
	for {
		r := n.m.Report()
		// systemd takes the later one of this end and that of TimeoutStopSec. It handles
		// STOPPING=1 first, which starts TimeoutStopSec if systemd has not sent the signal.
		left := r.Timeout + min(r.Timeout/10, maxExit) - r.Took
		n.send(fmt.Sprintf("%sSTATUS=%s\nEXTEND_TIMEOUT_USEC=%d", state, status(r), max(0, left).Microseconds()))
		state = ""
		select {
		case <-ticker.C:
		case <-n.m.Reached(shutdown.Done):
			return
		}
	}
}

func (n *notifier) send(state string) (sent bool) {
	err := n.deliver(state)
	if err != nil && !n.failed {
		n.failed = true
		slog.Warn("systemd: not notified", "error", err)
	}
	return err == nil
}

// send is SdNotify of go-systemd with a limit: that blocks for as long as systemd does not
// read.
func send(socket, state string) error {
	conn, err := net.Dial("unixgram", socket)
	if err != nil {
		return fmt.Errorf("systemd: NOTIFY_SOCKET: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(sendLimit)); err != nil {
		return fmt.Errorf("systemd: NOTIFY_SOCKET: %w", err)
	}
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("systemd: NOTIFY_SOCKET: %w", err)
	}
	return nil
}

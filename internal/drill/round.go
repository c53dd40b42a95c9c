package drill

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
)

// A round is what one shutdown has shown.
type round struct {
	load.Result
	http2      bool          // the program speaks HTTP/2
	exit       string        // the exit code, or the name of a signal
	took       time.Duration // from the stop to the exit
	lastReply  time.Duration // from the last reply to the exit; 0 if it came later
	killed     bool          // it had not exited by the end of the grace period
	answering  bool          // it answered requests that were sent after half of it
	left       []string      // processes that have outlived the program
	listening  bool          // something listens on the port after the exit
	idleClosed time.Duration // from the stop until the server closed the idle connection; 0: it did not, or there was none
	held       string        // how the held request ended: answered, answeredBefore, or the kind of the loss; "" if there was none
}

// round starts a program, stops it under load, and returns what was seen. An error means
// that there is no result; nothing of the program runs then.
func (p Plan) round(ctx context.Context, t *Target, mode load.Mode) (r round, err error) {
	if listens(t.Addr) {
		return r, fmt.Errorf("something listens on %s before the program has been started", t.Addr)
	}
	family, err := newFamily()
	if err != nil {
		return r, err
	}
	prog, err := start(t, p.Output)
	if err != nil {
		return r, err
	}
	ctx, gone := context.WithCancel(ctx)
	defer func() {
		gone()
		prog.kill()
		family.kill(prog)
		if err != nil {
			err = prog.quote(err)
		}
		prog.forget()
	}()
	clients := load.Clients{Mode: mode, N: p.Clients, Addr: t.Addr, Paths: []string{t.Path}, TLS: t.TLS, Request: t.Request}
	if err := p.untilItAnswers(ctx, prog, clients); err != nil {
		return r, err
	}
	if len(p.Modes) == 0 {
		r.http2 = speaksHTTP2(ctx, clients)
	}
	idle, err := openIdle(ctx, t, mode)
	if err != nil {
		return r, err
	}
	defer idle.close()
	run := clients.Start(ctx)
	defer func() {
		if err != nil {
			gone()
			prog.kill()
			run.Wait()
		}
	}()
	if err := p.warm(ctx, run); err != nil {
		return r, err
	}
	held := sendHeld(ctx, t)
	defer held.abandon()

	began := time.Now()
	late := time.AfterFunc(p.Grace/2, run.Mark)
	defer late.Stop()
	held.stopping()
	if err := p.stop(ctx, prog); err != nil {
		return r, err
	}
	select {
	case <-prog.exited:
	case <-time.After(time.Until(began.Add(p.Grace))):
		r.killed = true
		prog.kill()
	case <-ctx.Done():
		return r, context.Cause(ctx)
	}
	exited := time.Now()
	r.took = exited.Sub(began)
	// A client whose SYN was dropped at the end would wait one second until the kernel
	// repeats it, and then be refused.
	gone()
	r.Result = run.Wait()
	r.exit = prog.exit()
	r.lastReply = max(0, exited.Sub(r.LastReply))
	r.answering = r.Later > r.LaterLost
	r.held = held.wait()
	r.idleClosed = idle.closedAfter(began)
	r.left = leftOver(family, prog)
	r.listening = listens(t.Addr)
	return r, nil
}

// warm lets the clients get some answers.
func (p Plan) warm(ctx context.Context, run *load.Run) error {
	limited, done := context.WithTimeoutCause(ctx, p.Start, fmt.Errorf("in %v not each of %d clients had three answers", p.Start, p.Clients))
	defer done()
	if err := run.Warm(limited, 3); err != nil {
		if n := run.Lost(); n > 0 {
			err = fmt.Errorf("%w; %d requests were lost", err, n)
		}
		return err
	}
	pause(ctx, 50*time.Millisecond+rand.N(100*time.Millisecond))
	return nil
}

// stop asks the program to exit.
func (p Plan) stop(ctx context.Context, prog *program) error {
	if p.StopCommand == "" {
		return prog.signal(p.Signal)
	}
	out, err := shell(ctx, p.StopCommand).CombinedOutput()
	if err != nil {
		return fmt.Errorf("the stop command: %w: %s", err, lastLines(out))
	}
	return nil
}

// untilItAnswers waits until the program answers a request.
func (p Plan) untilItAnswers(ctx context.Context, prog *program, clients load.Clients) error {
	clients.Mode, clients.Timeout = load.NewConn, p.Start
	ctx, cancel := context.WithTimeoutCause(ctx, p.Start, fmt.Errorf("it did not answer within %v", p.Start))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := clients.Ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-prog.exited:
			return fmt.Errorf("it ended before it answered a request, with %s", prog.exit())
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", context.Cause(ctx), load.Kind(err))
		}
	}
}

func speaksHTTP2(ctx context.Context, clients load.Clients) bool {
	clients.Mode, clients.Timeout = load.HTTP2, 2*time.Second
	return clients.Ask(ctx) == nil
}

// leftOver returns what is left of the program a moment after its exit. Its children may
// end a moment later than it.
func leftOver(f *family, prog *program) (names []string) {
	for range 20 {
		if names = f.names(prog); len(names) == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return names
}

// listens reports whether something accepts connections.
func listens(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

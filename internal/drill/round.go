package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/internal/load"
)

// A round is what one shutdown has shown.
type round struct {
	load.Result
	end
	http2      bool          // the program speaks HTTP/2
	handled    bool          // it had a handler for the signal, as far as is known
	exit       string        // the exit code, or the name of a signal
	took       time.Duration // from the stop to the exit
	lastReply  time.Duration // from the last reply to the exit; 0 if it came later
	answering  bool          // it answered requests that were sent after half of the grace period
	left       []string      // processes that have outlived the program
	listening  bool          // something accepts connections after the exit
	idleClosed time.Duration // from the stop until the server closed the idle connection; 0: it did not, or there was none
	held       string        // how the held request ended: answered, answeredBefore, or the kind of the loss; "" if there was none
}

// round starts a program, stops it under load, and returns what was seen. An error means
// that there is no result. Nothing of the program runs when it returns.
func (p Plan) round(ctx context.Context, t *Target, mode load.Mode) (r round, err error) {
	if listens(t.Addr) {
		return r, fmt.Errorf("something listens on %s before the program has been started", t.Addr)
	}
	tree, err := newTree()
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
		tree.kill(prog)
		if err != nil {
			err = prog.quote(err)
		}
		prog.removeOutput()
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
			tree.kill(prog)
			run.Wait()
		}
	}()
	if err := p.warm(ctx, run, prog); err != nil {
		return r, err
	}
	held, err := sendHeld(ctx, t, mode)
	if err != nil {
		return r, err
	}
	defer held.cancel()
	if n := run.Lost(); n > 0 {
		return r, fmt.Errorf("%d requests were lost before the stop, so that no loss could be due to the shutdown", n)
	}
	r.handled = p.StopCommand != "" || handles(prog, p.Signal)

	began := time.Now()
	late := time.AfterFunc(p.Grace/2, run.Mark)
	defer late.Stop()
	held.stopping(began)
	if r.end, err = p.untilItExits(ctx, prog, t.Addr, began); err != nil {
		return r, err
	}
	// A client whose SYN was dropped at the end would wait one second until its kernel
	// repeats it, and then be refused.
	gone()
	r.Result = run.Wait()
	r.held = held.wait()
	r.exit, r.took = prog.exit(), prog.exitedAt.Sub(began)
	last := r.LastReply
	if r.held == answered && held.ended.After(last) {
		last = held.ended
	}
	r.lastReply = max(0, prog.exitedAt.Sub(last))
	r.answering = r.Later > r.LaterLost
	if !r.killed {
		r.idleClosed = idle.closedAfter(began)
	}
	if r.left, err = leftOver(tree, prog); err != nil {
		return r, err
	}
	r.listening = listens(t.Addr)
	return r, nil
}

// untilItAnswers waits until the program answers a request.
func (p Plan) untilItAnswers(ctx context.Context, prog *program, clients load.Clients) error {
	if clients.Mode == load.KeepAlive {
		clients.Mode = load.NewConn
	}
	clients.Timeout = p.Start
	ctx, cancel := context.WithTimeout(ctx, p.Start)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		began := time.Now()
		err := clients.Ask(ctx)
		if err == nil {
			return nil
		}
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			last = "nothing listens on " + clients.Addr
		case ctx.Err() == nil:
			last = load.Kind(err)
		case time.Since(began) > p.Start/2:
			last = "the last request got none"
		}
		select {
		case <-tick.C:
		case <-prog.exited:
		case <-ctx.Done():
		}
		switch {
		case prog.hasExited():
			return fmt.Errorf("it ended before it answered a request, with %s", prog.exit())
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return fmt.Errorf("no answer that counts within %v: %s", p.Start, last)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

func speaksHTTP2(ctx context.Context, clients load.Clients) bool {
	clients.Mode, clients.Timeout = load.HTTP2, 2*time.Second
	return clients.Ask(ctx) == nil
}

// warm lets the clients get some answers.
func (p Plan) warm(ctx context.Context, run *load.Run, prog *program) error {
	limited, done := context.WithTimeout(ctx, p.Start)
	defer done()
	defer prog.onExit(done)()
	err := run.Warm(limited, 3)
	if err != nil {
		pause(limited, 100*time.Millisecond) // clients may see the end of the program before it is known here
	}
	switch {
	case prog.hasExited():
		return fmt.Errorf("it ended before it was stopped, with %s", prog.exit())
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("in %v not each of %d clients had three answers; %d requests were lost", p.Start, p.Clients, run.Lost())
	}
	pause(ctx, 50*time.Millisecond+rand.N(100*time.Millisecond))
	return nil
}

// leftOver returns what is left of the program a moment after its exit. Its children may
// end a moment later than it.
func leftOver(t *processTree, prog *program) (commands []string, err error) {
	for range 20 {
		if commands, err = t.left(prog); err != nil || len(commands) == 0 {
			return nil, err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return commands, nil
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

package grpcserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/listener"
)

// A Server is a grpc.Server and what it takes to end it. NewServer and Adopt make
// one; its methods may be called by several goroutines at once.
type Server struct {
	*grpc.Server

	m     *shutdown.Manager
	conns conns
	after after

	mu       sync.Mutex    // protects what follows
	addr     net.Addr      // of the last listener
	serving  int           // listeners that have not drained
	stopping bool          // all have: no other can be added
	stopped  chan struct{} // closed when stop has returned
}

// join counts one more listener.
func (s *Server) join(ln net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return begun(s.m)
	}
	s.serving++
	s.addr = ln.Addr()
	return nil
}

// serve serves on ln. From here on a shutdown drains it, also one that begins
// now.
func (s *Server) serve(ln *listener.Listener) {
	name := "grpc " + ln.Addr().String()
	served := make(chan struct{})
	var ended atomic.Bool // because it was told to
	s.m.On(shutdown.Drain, name, func(ctx context.Context) error {
		s.m.WaitFor(ctx, name, s.after.all()...)
		ended.Store(true)
		err := ln.Drain(ctx)
		// Serve has to be back: only then is every connection that was handed
		// out known to gRPC.
		select {
		case <-served:
		case <-ctx.Done():
		}
		return errors.Join(err, s.leave(ctx))
	})
	go func() {
		defer close(served)
		defer ln.Close() // Serve leaves it open if the server has been stopped
		err := s.Server.Serve(accepter{ln, &s.conns})
		if err != nil && !ended.Load() { // nil: the caller has stopped it
			s.m.Begin(fmt.Errorf("grpcserver: serve %s: %w", name, err))
		}
	}()
}

// leave is called by each listener that has drained. The last one stops the
// server; all wait for that.
func (s *Server) leave(ctx context.Context) error {
	s.mu.Lock()
	s.serving--
	s.stopping = s.serving == 0
	last := s.stopping
	s.mu.Unlock()
	if last {
		err := s.stop(ctx)
		close(s.stopped)
		return err
	}
	select {
	case <-s.stopped:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stop is steps 3 to 6 of the package's documentation.
func (s *Server) stop(ctx context.Context) error {
	s.conns.linger(ctx)
	graceful := make(chan struct{})
	go func() {
		defer close(graceful)
		s.GracefulStop() // which also waits for the handlers
	}()
	return s.cutOff(ctx, graceful)
}

// cutOff waits for graceful as long as there is time, and then closes what is
// left.
func (s *Server) cutOff(ctx context.Context, graceful <-chan struct{}) error {
	work := s.m.WorkContext()
	select {
	case <-graceful:
		return nil
	case <-work.Done():
	}
	// The handlers have the first half of what is left to return, the second is
	// for those that notice the end of their connection only.
	deadline, _ := ctx.Deadline()
	half := time.NewTimer(time.Until(deadline) / 2)
	defer half.Stop()
	select {
	case <-graceful:
		return nil
	case <-half.C:
	case <-later(ctx, moment):
	}
	left := len(s.conns.all())
	go s.Stop()
	select {
	case <-graceful:
	case <-ctx.Done():
	}
	// Stop closes nothing as long as a handshake lasts, and then one connection
	// after another, which over TLS may take 5 s each.
	for _, c := range s.conns.all() {
		_ = c.Close() // what matters is that it has gone
	}
	select {
	case <-graceful:
	case <-later(ctx, moment):
	}
	if left == 0 {
		return nil
	}
	// A forced end may cut the drain short after WorkContext has timed out.
	return fmt.Errorf("%s cut off: %w", connections(left), cmp.Or(context.Cause(ctx), context.Cause(work)))
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", n)
}

// moment is what is left to answers that are on their way when there is no time
// left, because the end is forced. A hook has 20 ms after its context.
const moment = 5 * time.Millisecond

// later returns a channel that is closed so long after the end of ctx.
func later(ctx context.Context, d time.Duration) <-chan struct{} {
	ch := make(chan struct{})
	context.AfterFunc(ctx, func() { time.AfterFunc(d, func() { close(ch) }) })
	return ch
}

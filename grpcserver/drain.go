package grpcserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/listener"
)

// addListener counts one more listener.
func (s *Server) addListener(ln net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return checkRunning(s.m)
	}
	s.serving++
	s.addr = ln.Addr()
	return nil
}

// serveOn serves on ln. From here on a shutdown drains it, even if it starts now.
func (s *Server) serveOn(ln *listener.Listener) {
	name := "grpc " + ln.Addr().String()
	served := make(chan struct{})
	var draining atomic.Bool
	s.m.On(shutdown.Drain, name, func(ctx context.Context) error {
		s.conns.countClosed()
		s.mu.Lock()
		after := s.drainAfter
		s.mu.Unlock()
		s.m.WaitFor(ctx, name, after...)
		draining.Store(true)
		err := ln.Drain(ctx)
		// Only when Serve has returned does gRPC know every connection that was accepted.
		select {
		case <-served:
		case <-ctx.Done():
		}
		return errors.Join(err, s.listenerDrained(ctx))
	})
	go func() {
		defer close(served)
		defer ln.Close() // Serve does not close it if the server has been stopped
		err := s.Server.Serve(connListener{ln, &s.conns})
		if err != nil && !draining.Load() { // nil means that the caller has stopped the server
			s.m.Begin(fmt.Errorf("grpcserver: serve %s: %w", name, err))
		}
	}()
}

// listenerDrained is called when a listener has drained. The last call stops the server,
// and all calls wait for that.
func (s *Server) listenerDrained(ctx context.Context) error {
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

// stop does steps 3 to 6 of the package documentation.
func (s *Server) stop(ctx context.Context) error {
	s.conns.linger(ctx)
	graceful := make(chan struct{})
	go func() {
		defer close(graceful)
		s.GracefulStop() // also waits for the handlers
	}()
	err := s.cutOff(ctx, graceful)
	s.m.AddTraffic(shutdown.Traffic{Kind: kind, ConnectionsClosed: s.conns.closedInDrain()})
	return err
}

// sendTime is how long connections stay open after a forced end, for responses that are
// being sent. A hook has 20 ms after the end of its context.
const sendTime = 5 * time.Millisecond

// cutOff waits for graceful. When the time is up, it closes the remaining connections.
func (s *Server) cutOff(ctx context.Context, graceful <-chan struct{}) error {
	work := s.m.WorkContext()
	select {
	case <-graceful:
		return nil
	case <-work.Done():
	}
	// The first half of the remaining time is for handlers that return because of their
	// context, the second for those that notice only the end of their connection.
	deadline, _ := ctx.Deadline()
	half := time.NewTimer(time.Until(deadline) / 2)
	defer half.Stop()
	select {
	case <-graceful:
		return nil
	case <-half.C:
	case <-endPlus(ctx, sendTime):
	}
	left := len(s.conns.all())
	go s.Stop()
	select {
	case <-graceful:
	case <-ctx.Done():
	}
	// While a handshake is in progress, Stop closes no connection. Then it closes one
	// after another, which over TLS may take 5 s for each.
	for _, c := range s.conns.all() {
		_ = c.Close() // it may be closed already
	}
	select {
	case <-graceful:
	case <-endPlus(ctx, sendTime):
	}
	if left == 0 {
		return nil
	}
	// A forced end may come after WorkContext has timed out, and is the cause then.
	return fmt.Errorf("%s cut off: %w", connections(left), cmp.Or(context.Cause(ctx), context.Cause(work)))
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", n)
}

// endPlus returns a channel that is closed at the time d after the end of ctx.
func endPlus(ctx context.Context, d time.Duration) <-chan struct{} {
	ch := make(chan struct{})
	context.AfterFunc(ctx, func() { time.AfterFunc(d, func() { close(ch) }) })
	return ch
}

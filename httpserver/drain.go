package httpserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gracefulgo/shutdown"
)

// acceptWait is how long the listener is drained before anything else. Usually that
// takes a moment. If it takes longer, a connection in its queue may wait for another
// connection to close, as with netutil.LimitListener.
const acceptWait = 100 * time.Millisecond

// drain is the Drain hook. The package documentation has the order of events.
func (s *Server) drain(ctx context.Context) error {
	defer close(s.drained)
	closed := s.conns.closed.Load()
	s.mu.Lock()
	after := s.drainAfter
	s.mu.Unlock()
	s.m.WaitFor(ctx, s.name, after...)
	s.draining.Store(true)
	var err error
	accepted := make(chan struct{}) // closed when no more connection will be accepted
	go func() {
		defer close(accepted)
		err = s.ln.Drain(ctx)
		// Only when Serve has returned does net/http know every connection that was
		// accepted.
		select {
		case <-s.served:
		case <-ctx.Done():
		}
	}()
	wait := time.NewTimer(acceptWait)
	defer wait.Stop()
	select {
	case <-accepted:
	case <-wait.C:
	}
	cut := s.conns.drain(ctx, s.m.WorkContext(), accepted, s.callShutdown)
	<-accepted
	s.callShutdown()
	select {
	case <-s.shutdownCalled: // the functions have been started before the process may exit
	case <-ctx.Done():
	}
	s.m.AddTraffic(shutdown.Traffic{Kind: kind, ConnectionsClosed: int(s.conns.closed.Load()-closed) + cut})
	if cut > 0 {
		err = errors.Join(err, fmt.Errorf("%s cut off: %w", connections(cut), context.Cause(ctx)))
	}
	if err != nil {
		// Cancel the requests before their connections are closed, which would be
		// another cause. WorkContext may have ended just now or be about to.
		if cancel := s.cancelRequests.Load(); cancel != nil && ctx.Err() != nil {
			(*cancel)(cmp.Or(context.Cause(s.m.WorkContext()), context.Cause(ctx)))
		}
		_ = s.srv.Close() // err matters more
		<-s.served
	}
	s.closeHijackedLater()
	return err
}

// callShutdown calls http.Server.Shutdown, which runs the functions given to
// RegisterOnShutdown. Its context has ended, so that it does not wait: it would poll
// for the end of the requests, and drop requests that are on their way
// (golang/go#75591).
func (s *Server) callShutdown() {
	s.shutdownOnce.Do(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		go func() {
			defer close(s.shutdownCalled)
			_ = s.srv.Shutdown(ended) // first waits for Serve to return
		}()
	})
}

// closeHijackedLater registers a hook that closes the hijacked connections that are
// still open at the end of the drain. The last Close hook to be registered runs first.
func (s *Server) closeHijackedLater() {
	if s.conns.hijacked.anyOpen() {
		s.m.On(shutdown.Close, s.name+", hijacked connections", func(context.Context) error {
			s.conns.hijacked.close()
			return nil
		})
	}
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", n)
}

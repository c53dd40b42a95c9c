package httpserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gracefulgo/shutdown"
)

// acceptWait is how long the listener is drained before anything else. Usually it
// takes a moment. If it takes longer, whoever is left in its queue may wait for
// another connection to go, as with netutil.LimitListener.
const acceptWait = 100 * time.Millisecond

// drain is the hook. The order is that of the package's documentation.
func (s *Server) drain(ctx context.Context) error {
	defer close(s.drained)
	s.m.WaitFor(ctx, s.name, s.after.all()...)
	s.draining.Store(true)
	var err error
	accepted := make(chan struct{}) // closed when no connection will come any more
	go func() {
		defer close(accepted)
		err = s.ln.Drain(ctx)
		// Serve has to be back: only then is every connection that was handed out
		// known to net/http.
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
	cut := s.conns.drain(ctx, s.m.WorkContext(), accepted, s.tell)
	<-accepted
	s.tell()
	select {
	case <-s.told: // so that the functions have begun before the process may exit
	case <-ctx.Done():
	}
	if cut > 0 {
		err = errors.Join(err, fmt.Errorf("%s cut off: %w", connections(cut), context.Cause(ctx)))
	}
	if err != nil {
		// WorkContext may just have ended, or be about to. What it ends, ends
		// before the connections do: their end would be another cause.
		if endWork := s.endWork.Load(); endWork != nil && ctx.Err() != nil {
			(*endWork)(cmp.Or(context.Cause(s.m.WorkContext()), context.Cause(ctx)))
		}
		_ = s.srv.Close() // there is no better error to be had than the one that led here
		<-s.served
	}
	s.endHijacked()
	return err
}

// tell calls http.Server.Shutdown, which runs the functions that were given to
// RegisterOnShutdown. There is nothing that it could wait for in time, and it
// drops requests that are on their way: golang/go#75591.
func (s *Server) tell() {
	s.tellOnce.Do(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		go func() {
			defer close(s.told)
			_ = s.srv.Shutdown(over) // which first waits for Serve to return
		}()
	})
}

// endHijacked has the hijacked connections closed that are still open when the
// drain has ended: a hook of Close that comes so late is the first to run.
func (s *Server) endHijacked() {
	if s.conns.hijacked.any() {
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

package faults

import (
	"context"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

// runWithout is the same service as it is written without the library: the
// control, which has to violate what the library keeps.
func (s *service) runWithout() {
	quiet := goleak.IgnoreCurrent()
	there := openDescriptors()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s.journal.note(started, "")
	ln, err := net.Listen("tcp", loopback.Addr())
	if err != nil {
		panic(err)
	}
	srv := newServer(s)
	s.addr = ln.Addr().String()
	go func() { _ = srv.Serve(ln) }()
	for _, h := range s.plan.Hooks {
		s.journal.note(hookRegistered, h.Name)
	}
	s.journal.add(Event{Kind: listening, Name: s.addr})
	<-ctx.Done()
	begun := time.Now()
	limit, cancel := context.WithTimeout(context.Background(), s.plan.Timeout.D())
	defer cancel()
	if err := srv.Shutdown(limit); err != nil {
		s.cutOff.Store(true)
		_ = srv.Close() // the connections that are left
	}
	for _, h := range s.plan.Hooks {
		if err := s.hook(h)(limit); err != nil {
			break
		}
	}
	report := shutdown.Report{Phase: shutdown.Done, Begun: begun, Took: time.Since(begun)}
	s.journal.add(Event{Kind: waited, End: &End{Report: report, Result: resultOf(report)}})
	s.lookForLeaks(quiet, there)
	s.journal.note(lastEvent, "")
	os.Exit(0)
}

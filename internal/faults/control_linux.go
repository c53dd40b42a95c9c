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

// runWithout is the negative control: the same service as it is usually written
// without the library. It has to violate the invariants.
func (s *service) runWithout() {
	goroutines := goleak.IgnoreCurrent()
	descriptors := openDescriptors()
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
		_ = srv.Close()
	}
	for _, h := range s.plan.Hooks {
		if err := s.hook(h)(limit); err != nil {
			break
		}
	}
	report := shutdown.Report{Phase: shutdown.Done, Begun: begun, Took: time.Since(begun)}
	s.journal.add(Event{Kind: waited, End: &End{Report: report, Result: resultOf(report)}})
	s.lookForLeaks(goroutines, descriptors)
	s.journal.note(lastEvent, "")
	os.Exit(0)
}

package faults

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"time"

	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/testcert"
)

// run runs the service with the library. It does not return.
func (s *service) run() {
	meter := startStallClock().measure()
	goroutines := goleak.IgnoreCurrent()
	descriptors := openDescriptors()
	p := s.plan
	s.breakDisk(inStartUp)
	cfg := shutdown.Config{
		GracePeriod: p.Timeout.D() + time.Second,
		Timeout:     p.Timeout.D(),
		LameDuck:    p.LameDuck.D(),
		Reserve:     p.Reserve.D(),
		Signals:     table(p.Table),
		Record:      recordPath(p),
		Logger:      slog.New(newLogger(p, os.Stderr)),
	}
	end := &End{}
	var err error
	if p.Run {
		end.RunEnded, err = s.runWithRun(cfg)
	} else {
		err = s.runWithNew(cfg)
	}
	end.ExitCode, end.Report, end.Error = shutdown.ExitCode(err), s.m.Report(), errorText(err)
	end.TimedOut, end.Deadline, end.Forced = errors.Is(err, shutdown.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, shutdown.ErrForced)
	end.Result, end.NotReached, end.Stall = resultOf(end.Report), s.notReached(), meter.stop().longest
	s.journal.add(Event{Kind: waited, End: end})
	if s.mustNotLeak(end) {
		s.lookForLeaks(goroutines, descriptors)
	}
	s.watching.Wait() // after a short shutdown their goroutines may not have run yet
	s.journal.note(lastEvent, "")
	os.Exit(end.ExitCode)
}

// runWithNew starts the service with shutdown.New and Wait.
func (s *service) runWithNew(cfg shutdown.Config) error {
	m, err := shutdown.New(cfg)
	if err != nil {
		panic(err)
	}
	s.m = m
	s.watch()
	if err := s.start(); err != nil {
		s.m.Begin(err)
	}
	return s.m.Wait()
}

// runWithRun starts the service with shutdown.Run. Run repeats a panic or a Goexit of
// start, so it has a goroutine of its own here; how says which of them ended it.
func (s *service) runWithRun(cfg shutdown.Config) (how string, err error) {
	ended := make(chan struct{})
	go func() {
		how = "runtime.Goexit was called"
		defer func() {
			if r := recover(); r != nil {
				how = fmt.Sprint(r)
			}
			close(ended)
		}()
		err = shutdown.Run(cfg, func(m *shutdown.Manager) error {
			s.m = m
			s.watch()
			s.journal.note(workStarted, startName)
			return s.start()
		})
		how = ""
	}()
	<-ended
	if s.m == nil { // Run has not called start
		s.m = shutdown.Default()
	}
	if how != "" {
		err = s.m.Wait()
	}
	return how, err
}

// watch adds the ends of the Manager's contexts and its phases to the journal. The
// parent sends no signal before it.
func (s *service) watch() {
	for kind, ctx := range map[string]context.Context{acceptCanceled: s.m.AcceptContext(), workCanceled: s.m.WorkContext()} {
		s.watching.Add(1)
		context.AfterFunc(ctx, func() {
			defer s.watching.Done()
			s.journal.add(Event{Kind: kind, Error: context.Cause(ctx).Error()})
		})
	}
	s.watchPhases()
	s.journal.note(started, "")
}

// start is the start of the program. It adds to the journal how it ended.
func (s *service) start() (err error) {
	how, canceled := "runtime.Goexit was called", false
	defer func() {
		r := recover()
		if r != nil {
			how = fmt.Sprintf("panic: %v", r)
		}
		if s.plan.Run {
			s.journal.add(Event{Kind: workEnded, Name: startName, Cut: s.isCut(), Canceled: canceled, Error: how})
		}
		s.journal.add(Event{Kind: startEnded, Error: how})
		if r != nil {
			panic(r)
		}
	}()
	err = s.startUp()
	if err == nil {
		switch s.plan.Start {
		case startCanceled:
			<-s.m.AcceptContext().Done()
			canceled, err = s.returned(returnsErr)
		case startHangs:
			<-s.never
		}
	}
	if begun := s.m.AcceptContext(); begun.Err() != nil && errors.Is(err, context.Cause(begun)) {
		canceled = true // package httpserver returns the cause if the shutdown has begun
	}
	how = errorText(err)
	return err
}

// startUp starts servers, hooks and work. A signal may arrive at any point of it.
func (s *service) startUp() error {
	half := len(s.plan.Hooks) / 2
	s.registerAll(s.plan.Hooks[:half])
	s.register(Hook{Name: "mark " + inLeave, Phase: inLeave})
	s.register(Hook{Name: "mark " + inDrain, Phase: inDrain})
	time.Sleep(s.plan.StartUp.D())

	var tlsAddr string
	if s.plan.Clients[tlsHandshake] > 0 {
		cert, err := testcert.New()
		if err != nil {
			return err
		}
		config, err := cert.Server()
		if err != nil {
			return err
		}
		config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			s.arrived("ClientHello")
			return nil, nil //nolint:nilnil // the configuration stays as it is
		}
		if tlsAddr, err = s.listen(&http.Server{Handler: s, TLSConfig: config}); err != nil {
			return err
		}
	}
	switch s.plan.Start {
	case startFails:
		return errStart
	case startPanics:
		panic("the start has panicked")
	case startGoexits:
		runtime.Goexit()
	}
	addr, err := s.listen(newServer(s))
	if err != nil {
		return err
	}
	s.addr = addr
	for i, w := range s.plan.Work {
		s.startWork(i, w)
	}
	s.registerAll(s.plan.Hooks[half:])
	s.register(Hook{Name: "mark " + inClose, Phase: inClose})
	if n := s.plan.Descriptors; n > 0 {
		limitDescriptors(n)
	}
	s.journal.add(Event{Kind: listening, Name: addr, TLS: tlsAddr})
	return nil
}

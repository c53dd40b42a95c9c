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

// run is the service with the library. It does not return.
func (s *service) run() {
	meter := startStallClock().measure()
	quiet := goleak.IgnoreCurrent()
	there := openDescriptors()
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
		end.RunEnded, err = s.runWith(cfg)
	} else {
		err = s.runByHand(cfg)
	}
	end.ExitCode, end.Report, end.Error = shutdown.ExitCode(err), s.m.Report(), errorText(err)
	end.TimedOut, end.Deadline, end.Forced = errors.Is(err, shutdown.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, shutdown.ErrForced)
	end.Result, end.NotReached, end.Stall = resultOf(end.Report), s.notReached(), meter.stop().longest
	s.journal.add(Event{Kind: waited, End: end})
	if s.shouldBeQuiet(end) {
		s.lookForLeaks(quiet, there)
	}
	s.watching.Wait() // a shutdown may take a millisecond
	s.journal.note(lastEvent, "")
	os.Exit(end.ExitCode)
}

// runByHand is New, start and Wait.
func (s *service) runByHand(cfg shutdown.Config) error {
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

// runWith is shutdown.Run. It goes on with a panic and a Goexit of start, so it has
// a goroutine of its own here, and how says which of them ended it.
func (s *service) runWith(cfg shutdown.Config) (how string, err error) {
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
	if s.m == nil { // it has not come to start
		s.m = shutdown.Default()
	}
	if how != "" {
		err = s.m.Wait()
	}
	return how, err
}

// watch writes down what the Manager does. Signals are caught from here on.
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

// start is the start-up of the program, and writes down how it ended.
func (s *service) start() (err error) {
	how, told := "runtime.Goexit was called", false
	defer func() {
		r := recover()
		if r != nil {
			how = fmt.Sprintf("panic: %v", r)
		}
		if s.plan.Run {
			s.journal.add(Event{Kind: workEnded, Name: startName, Cut: s.isCut(), Told: told, Error: how})
		}
		s.journal.add(Event{Kind: startEnded, Error: how})
		if r != nil {
			panic(r)
		}
	}()
	err = s.startUp()
	if err == nil {
		switch s.plan.Start {
		case startTold:
			<-s.m.AcceptContext().Done()
			told, err = s.returned(returnsErr)
		case startHangs:
			<-s.never
		}
	}
	if begun := s.m.AcceptContext(); begun.Err() != nil && errors.Is(err, context.Cause(begun)) {
		told = true // package httpserver starts nothing any more
	}
	how = errorText(err)
	return err
}

// startUp opens and starts all. A signal may come at any point of it.
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

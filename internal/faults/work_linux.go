package faults

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/gracefulgo/shutdown"
)

// startWork starts a task or a worker. A request is the parent's to send.
func (s *service) startWork(i int, w Work) {
	name := w.Kind + " " + strconv.Itoa(i)
	switch w.Kind {
	case task:
		done, ok := s.m.Track(name)
		if !ok {
			return // the shutdown has ended already
		}
		s.journal.note(workStarted, name)
		go func() {
			defer done()
			_ = s.do(w, name, s.m.WorkContext())
		}()
	case worker:
		s.m.Go(name, func(context.Context) error {
			s.journal.note(workStarted, name)
			return s.do(w, name, s.m.WorkContext())
		})
	}
}

// do does a piece of work, whose context is ctx, and writes down how it ended.
func (s *service) do(w Work, name string, ctx context.Context) (err error) {
	defer func() { s.journal.add(Event{Kind: workEnded, Name: name, Cut: s.isCut(), Error: errorText(err)}) }()
	switch w.Does {
	case workTold, workFails:
		<-s.m.AcceptContext().Done()
	case workGivesUp, workLate:
		<-ctx.Done()
		if w.Does == workGivesUp {
			return ctx.Err()
		}
		return nil
	case workHangs:
		<-s.never
	}
	time.Sleep(w.Takes.D())
	if w.Does == workFails {
		return errWorker
	}
	return nil
}

// ended writes down the end of a piece of work that is still in flight, and
// whether it had been cut off.
func (s *service) ended(name string) {
	s.journal.add(Event{Kind: workEnded, Name: name, Cut: s.isCut()})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (s *service) isCut() bool {
	if s.m == nil {
		return s.cutOff.Load()
	}
	if s.m.WorkContext().Err() == nil {
		return false
	}
	cause := context.Cause(s.m.WorkContext())
	return errors.Is(cause, shutdown.ErrTimeout) || errors.Is(cause, shutdown.ErrForced)
}

package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gracefulgo/shutdown"
)

// startWork starts a task, a worker or a job. Requests are sent by the parent.
func (s *service) startWork(i int, w Work) {
	name := w.Kind + " " + strconv.Itoa(i)
	switch w.Kind {
	case task:
		done, ok := s.m.Track(name)
		if !ok {
			return // the shutdown has ended
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
	case job:
		s.startJob(name, func(context.Context) error {
			s.journal.note(workStarted, name)
			return s.do(w, name, s.m.WorkContext())
		})
	}
}

// startJob registers a job, and then adds that to the journal, with whether the
// shutdown has ended, so that nothing waits for the job.
func (s *service) startJob(name string, run func(context.Context) error) {
	s.m.Job(name, run)
	e := Event{Kind: jobRegistered, Name: name}
	if s.m.Phase() == shutdown.Done {
		e.Error = "after the end"
	}
	s.journal.add(e)
}

// do does a piece of work, whose context is ctx, and adds to the journal how it ended.
func (s *service) do(w Work, name string, ctx context.Context) (err error) {
	canceled := false
	defer func() {
		s.journal.add(Event{Kind: workEnded, Name: name, Cut: s.isCut(), Canceled: canceled, Error: errorText(err)})
	}()
	switch w.Does {
	case workStops, workFails:
		<-s.m.AcceptContext().Done()
	case workGivesUp, workLate:
		<-ctx.Done()
		if w.Does == workLate {
			return nil
		}
		canceled, err = s.returned(cmp.Or(w.Returns, returnsErr))
		return err
	case workHangs:
		<-s.never
	}
	time.Sleep(w.Takes.D())
	switch w.Does {
	case workFails, workBreaks:
		return errWorker
	case workStops:
		canceled, err = s.returned(w.Returns)
	}
	return err
}

// returned is the error of a worker or a job that stops because its context ended.
// canceled reports whether it says no more than that.
func (s *service) returned(how string) (canceled bool, err error) {
	ctx := s.m.AcceptContext()
	switch how {
	case returnsErr:
		return true, ctx.Err()
	case returnsCause:
		return true, context.Cause(ctx)
	case returnsWrapped:
		return true, fmt.Errorf("stopped at row 17: %w", ctx.Err())
	case returnsJoined:
		return true, errors.Join(ctx.Err(), context.Cause(ctx))
	case returnsFlush:
		return false, errors.Join(errFlush, ctx.Err())
	}
	return false, nil
}

// ended adds to the journal the end of a piece of work that is still in flight, and
// whether it had been cut off.
func (s *service) ended(name string) {
	s.journal.add(Event{Kind: workEnded, Name: name, Cut: s.isCut()})
}

// isCut reports whether WorkContext has ended by the deadline or by force.
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

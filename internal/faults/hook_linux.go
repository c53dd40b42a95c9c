package faults

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown"
)

func (s *service) registerAll(hooks []Hook) {
	for _, h := range hooks {
		s.register(h)
	}
}

// watchPhases adds to the journal when each phase is reached, and registers the hooks
// that the plan has for that moment.
func (s *service) watchPhases() {
	for name, phase := range phases {
		go func() {
			<-s.m.Reached(phase)
			s.journal.note(phaseReached, name)
			for _, r := range s.plan.Reached {
				if r.Phase == name {
					s.register(r.Hook)
				}
			}
		}()
	}
}

// notReached returns the phases that have not been reached.
func (s *service) notReached() (names []string) {
	for name, phase := range phases {
		select {
		case <-s.m.Reached(phase):
		default:
			names = append(names, name)
		}
	}
	return names
}

// register registers a hook, and then adds that to the journal, with whether the
// shutdown has ended, so that nothing waits for the hook.
func (s *service) register(h Hook) (remove func() bool) {
	stop := s.hook(h)
	if h.Limit > 0 {
		stop = shutdown.BestEffort(h.Limit.D(), stop)
	}
	remove = s.m.On(phases[h.Phase], h.Name, stop)
	e := Event{Kind: hookRegistered, Name: h.Name}
	if s.m.Phase() == shutdown.Done {
		e.Error = "after the end"
	}
	s.journal.add(e)
	return remove
}

var errHook = errors.New("the hook has failed")

// hook returns a function that does what h says, and adds to the journal that it
// started and how it ended.
func (s *service) hook(h Hook) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		s.journal.note(hookStarted, h.Name)
		outcome := "runtime.Goexit was called"
		defer func() {
			switch r := recover(); {
			case r != nil:
				s.journal.add(Event{Kind: hookEnded, Name: h.Name, Error: "panic: " + r.(string)})
				panic(r)
			case outcome != "":
				s.journal.add(Event{Kind: hookEnded, Name: h.Name, Error: outcome})
			default:
				e := Event{Kind: hookEnded, Name: h.Name}
				if err != nil {
					e.Error = err.Error()
				}
				s.journal.add(e)
			}
		}()
		err = s.act(ctx, h)
		outcome = ""
		return err
	}
}

func (s *service) act(ctx context.Context, h Hook) error {
	if h.Name == "mark "+inDrain {
		s.breakDisk(inDrain)
	}
	time.Sleep(h.Takes.D())
	switch h.Does {
	case hookFails:
		return errHook
	case hookPanics:
		panic("the hook has panicked")
	case hookGoexits:
		runtime.Goexit()
	case hookHangs:
		<-ctx.Done()
		return ctx.Err()
	case hookIgnores:
		<-s.never
	case hookRegisters:
		s.registerAll(h.Registers)
	case hookCalls:
		s.callEverything(ctx, h)
	case hookWaits:
		return s.m.Wait()
	case hookForces:
		s.m.Force(errors.New("a hook forces it"))
	case hookAdmits:
		<-s.m.WorkContext().Done() // the hook's own context ends later
		if done, ok := s.m.Track(h.Name); ok {
			s.journal.note(workStarted, h.Name)
			s.ended(h.Name)
			done()
		}
	case hookJobs:
		s.startJob(h.Name+", job", func(context.Context) error { panic("a job ran after the shutdown had begun") })
	}
	return nil
}

// callEverything calls every method of the Manager but Wait and Force.
func (s *service) callEverything(ctx context.Context, h Hook) {
	m := s.m
	if from, ok := shutdown.FromContext(ctx); !ok || from != m {
		panic("the context carries another Manager")
	}
	m.Begin(errors.New("a second cause"))
	m.Signal(syscall.SIGTERM)
	m.Signal(syscall.SIGUSR2)
	m.Go("a worker that comes too late", func(context.Context) error { panic("a worker ran after the shutdown had begun") })
	if done, ok := m.Track(h.Name); ok {
		s.journal.note(workStarted, h.Name)
		m.Tasks()
		s.ended(h.Name)
		done()
		done()
	}
	<-m.AcceptContext().Done()
	_ = m.WorkContext().Err()
	m.Phase()
	m.LastRun()
	r := m.Report()
	_ = r.String()
	if _, err := json.Marshal(r); err != nil {
		panic(err.Error())
	}
	for _, phase := range []string{inLeave, inDrain, inClose} {
		name := h.Name + "/" + phase
		remove := s.register(Hook{Name: name, Phase: phase})
		if remove() {
			s.journal.note(hookRemoved, name)
		}
	}
}

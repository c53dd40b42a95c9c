package shutdown

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/internal/sequence"
	"github.com/gracefulgo/shutdown/internal/signame"
)

// An Action is what a Manager does when a signal arrives. Actions run one after another, in
// the order of the signals. An Action must not block, because those after it wait. It may
// call any method of m except Wait.
type Action func(m *Manager, sig os.Signal)

// Graceful begins the shutdown. A repetition changes nothing: where a preStop hook or an
// init sends a SIGTERM of its own, two arrive.
func Graceful(m *Manager, sig os.Signal) { m.Begin(SignalError{sig}) }

// GracefulThenForce begins the shutdown. The same signal again, 500 ms or more later, forces
// the end. A third one, again 500 ms or more later, gets the default action of the operating
// system, which ends the process. The pause is there because terminals and wrappers (npm,
// make) send one Ctrl-C twice. If another signal has begun the shutdown, that was the first.
//
// Where stderr is a terminal, a log line says what the next Ctrl-C does.
func GracefulThenForce(m *Manager, sig os.Signal) {
	switch m.signals.press(sig) {
	case 1:
		m.Begin(SignalError{sig})
		m.tellTerminal(sig, "shutdown: Ctrl-C again forces the end, and cuts off what is in flight")
	case 2:
		m.Force(SignalError{sig})
	case 0:
		m.tellTerminal(sig, "shutdown: Ctrl-C within half a second is taken as the same press")
	default:
		m.signals.raise(sig)
	}
}

// Immediate begins the shutdown and forces its end, so that only Close is left to run. It
// does nothing if a shutdown has begun: a graceful one never becomes less graceful by it.
func Immediate(m *Manager, sig os.Signal) { m.begin(SignalError{sig}, true) }

// Dump logs what is in flight, which hooks are pending, and the stacks of all goroutines; the
// program goes on. Equal stacks share a line, those of hooks, workers and requests come
// first, and there are at most 256.
func Dump(m *Manager, sig os.Signal) { m.dump(sig) }

// NoSignals returns an empty table, for Config.Signals: no signal is caught.
func NoSignals() map[os.Signal]Action { return map[os.Signal]Action{} }

// DefaultSignals returns the table that is used if Config.Signals is nil: SIGTERM is
// Graceful, SIGINT is GracefulThenForce. Each call returns a new map, to add to or take from.
func DefaultSignals() map[os.Signal]Action {
	return map[os.Signal]Action{syscall.SIGTERM: Graceful, os.Interrupt: GracefulThenForce}
}

// samePress is the time in which a second signal belongs to the first.
const samePress = 500 * time.Millisecond

// signals is what a Manager knows of them.
type signals struct {
	source signalSource
	table  map[os.Signal]Action

	caught   chan os.Signal // nil if no signal is caught
	released chan struct{}  // closed by release
	reading  sync.WaitGroup // the goroutine that reads caught

	mu      sync.Mutex  // protects what follows
	queue   []os.Signal // whose Actions have not run
	acting  bool        // a goroutine is in act
	pressed map[os.Signal]presses
	asked   os.Signal // the first that asked for the end, also after it had begun; nil if none did
	askedAt time.Time
	after   os.Signal // one that came when the shutdown had ended
}

// presses counts how often a person has pressed Ctrl-C.
type presses struct {
	n    int
	last time.Time
}

// A signalSource is os/signal, or what a test puts in its place: inside a
// testing/synctest bubble os/signal ends the process.
type signalSource interface {
	notify(c chan<- os.Signal, sigs ...os.Signal)
	stop(c chan<- os.Signal)
	ignored(sig os.Signal) bool
	raise(sig os.Signal)
}

type processSignals struct{}

func (processSignals) notify(c chan<- os.Signal, sigs ...os.Signal) { signal.Notify(c, sigs...) }
func (processSignals) stop(c chan<- os.Signal)                      { signal.Stop(c) }
func (processSignals) ignored(sig os.Signal) bool                   { return signal.Ignored(sig) }
func (processSignals) raise(sig os.Signal)                          { raise(sig) }

func checkSignals(table map[os.Signal]Action) error {
	for sig, action := range table {
		switch {
		case sig == nil:
			return errors.New("shutdown: Config.Signals: nil is no signal")
		case uncatchable(sig):
			return fmt.Errorf("shutdown: Config.Signals: %s cannot be caught by any program", signame.Name(sig))
		case action == nil:
			return fmt.Errorf("shutdown: Config.Signals: %s has no Action", signame.Name(sig))
		}
	}
	return nil
}

// catch hands the table's signals to arrived from now on. A signal that is ignored
// when the program starts stays ignored: nohup, and the background jobs of a shell
// without job control. (Go's runtime keeps that of SIGHUP and SIGINT only; by the time
// anybody can ask, it has installed its handler for the others.)
func (s *signals) catch(arrived func(os.Signal)) {
	var sigs []os.Signal
	for sig := range s.table {
		if !s.source.ignored(sig) {
			sigs = append(sigs, sig)
		}
	}
	if len(sigs) == 0 {
		return
	}
	// os/signal drops what does not fit. The reader below never blocks, so this is
	// room for what arrives while it is not scheduled.
	s.caught = make(chan os.Signal, 64)
	s.source.notify(s.caught, sigs...)
	s.released = make(chan struct{})
	s.reading.Go(func() {
		for {
			select {
			case sig := <-s.caught:
				arrived(sig)
			case <-s.released:
				// What came before that may still be there: this goroutine was not
				// scheduled meanwhile, and select looks at both.
				for len(s.caught) > 0 {
					arrived(<-s.caught)
				}
				return
			}
		}
	})
}

// arrived is what the arrival of a signal does. It does not block.
func (m *Manager) arrived(sig os.Signal) {
	if !closed(m.done) {
		m.Signal(sig)
		return
	}
	m.signals.mu.Lock()
	defer m.signals.mu.Unlock()
	m.signals.after = sig
}

// catchBrokenPipe keeps a log pipe without a reader from killing the process in the
// middle of its drain: with SIGPIPE caught, a write to a broken stdout or stderr is an
// error like any other. It stays caught: what main prints after Wait must not change
// the exit code either.
func (s *signals) catchBrokenPipe() {
	if s.caught != nil && s.table[syscall.SIGPIPE] == nil && !s.source.ignored(syscall.SIGPIPE) {
		s.source.notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	}
}

// asks records that sig asks for the end.
func (s *signals) asks(sig os.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked, s.askedAt = sig, time.Now()
	}
}

// release stops catching signals. (signal.Reset would also take them away from others
// in the process.) It raises the signal that came since the shutdown ended; if main
// hangs, else that which asked for the end.
func (s *signals) release(hangs bool) {
	s.source.stop(s.caught)
	close(s.released)
	s.reading.Wait()
	s.mu.Lock()
	sig := s.after
	if sig == nil && hangs {
		sig = s.asked
	}
	s.mu.Unlock()
	if sig != nil {
		s.source.raise(sig)
	}
}

// Signal does what the arrival of sig would do: its Action runs soon after. It is for tests,
// Windows services and everything else that stands in for a signal. It returns at once. A
// signal that has no Action, or comes after the end, changes nothing. If Config.Signals is
// empty, Signal follows DefaultSignals.
func (m *Manager) Signal(sig os.Signal) {
	s := &m.signals
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, sig)
	if !s.acting {
		s.acting = true
		go m.act()
	}
}

// act runs the Actions of queued signals and returns when there are none.
func (m *Manager) act() {
	finished := false
	defer func() {
		if !finished { // an Action panicked or called Goexit
			if r := recover(); r != nil {
				m.log.Error("shutdown: signal action panicked", "error", logText{sequence.NewPanicError(r), maxErrText})
			}
			go m.act()
		}
	}()
	table := m.signals.table
	if len(table) == 0 {
		table = DefaultSignals()
	}
	for {
		sig, ok := m.signals.next()
		if !ok {
			finished = true
			return
		}
		if action := table[sig]; action != nil && !closed(m.done) {
			action(m, sig)
		}
	}
}

func (s *signals) next() (sig os.Signal, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.acting = false
		return nil, false
	}
	sig, s.queue = s.queue[0], s.queue[1:]
	return sig, true
}

// tellTerminal tells the person who has pressed Ctrl-C, if there is one.
func (m *Manager) tellTerminal(sig os.Signal, line string) {
	if sig == os.Interrupt && m.env.grace.Terminal() {
		m.log.Info(line)
	}
}

// press returns 1, 2, 3 for the first, second and third press of sig, and 0 for one
// that belongs to the press before. Another signal that has asked for the end counts
// as the first.
func (s *signals) press(sig os.Signal) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, now := s.pressed[sig], time.Now()
	if p.n == 0 && s.asked != nil && s.asked != sig {
		p = presses{1, s.askedAt}
	}
	if p.n > 0 && now.Sub(p.last) < samePress {
		return 0
	}
	if s.pressed == nil {
		s.pressed = make(map[os.Signal]presses)
	}
	s.pressed[sig] = presses{p.n + 1, now}
	return p.n + 1
}

// raise lets the operating system do with sig what it does by default.
func (s *signals) raise(sig os.Signal) {
	if s.caught == nil {
		return
	}
	s.source.stop(s.caught)
	s.source.raise(sig)
}

package shutdown

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown/internal/signame"
)

// An Action is what a Manager does when a signal arrives. Actions run one
// after another, in the order in which the signals came; one that blocks holds
// up those behind it, so it must not. It may call any method of m but Wait.
type Action func(m *Manager, sig os.Signal)

// Graceful begins the shutdown. A repetition changes nothing: SIGTERM comes
// twice wherever a preStop hook or an init sends one of its own.
func Graceful(m *Manager, sig os.Signal) { m.Begin(SignalError{sig}) }

// GracefulThenForce begins the shutdown; the same signal again, 500 ms or more
// later, forces its end; a third, again 500 ms or more later, gets what the
// operating system does by default, which ends the process there and then.
// The pause is there because terminals and wrappers (npm, make) send one
// Ctrl-C twice. If another signal has begun the shutdown, that was the first.
//
// Where stderr is a terminal, a log line says what Ctrl-C does next.
func GracefulThenForce(m *Manager, sig os.Signal) {
	switch m.count(sig) {
	case 1:
		m.Begin(SignalError{sig})
		m.tellTerminal(sig, "shutdown: Ctrl-C again forces the end, and cuts off what is in flight")
	case 2:
		m.Force(SignalError{sig})
	case 0:
		m.tellTerminal(sig, "shutdown: Ctrl-C within half a second is taken as the same press")
	default:
		m.raise(sig)
	}
}

// Immediate begins the shutdown and forces its end in the same step, so that
// only Close is left to run. It does nothing if a shutdown is under way: a
// graceful one never becomes less graceful by it.
func Immediate(m *Manager, sig os.Signal) { m.begin(SignalError{sig}, true) }

// Dump logs what is in flight, which hooks are pending, and the stacks of all
// goroutines, and lets the program go on. Equal stacks are a line together, those
// of hooks, workers and requests come first, and there are at most 256.
func Dump(m *Manager, sig os.Signal) { m.dump(sig) }

// NoSignals returns an empty table, for Config.Signals: no signal is caught.
func NoSignals() map[os.Signal]Action { return map[os.Signal]Action{} }

// DefaultSignals returns what a Manager does with signals if Config.Signals is
// nil: SIGTERM is Graceful, SIGINT is GracefulThenForce. The map is a new one
// at each call, to add to or take from.
func DefaultSignals() map[os.Signal]Action {
	return map[os.Signal]Action{syscall.SIGTERM: Graceful, os.Interrupt: GracefulThenForce}
}

// SignalError is the cause of a shutdown that a signal began or forced.
type SignalError struct{ Signal os.Signal }

func (e SignalError) Error() string { return signalPrefix + signame.Name(e.Signal) }

const signalPrefix = "signal "

// ExitCode returns what a process should exit with after Wait returned err:
// 0 if err is nil, 128+n if signal n forced the end, else 1.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	var forced *forcedError
	var sig SignalError
	if errors.As(err, &forced) && errors.As(forced.cause, &sig) {
		if n, ok := sig.Signal.(syscall.Signal); ok {
			return 128 + int(n)
		}
	}
	return 1
}

// samePress is the time in which a second signal belongs to the first.
const samePress = 500 * time.Millisecond

// actions are the signals whose Actions have not run yet.
type actions struct {
	mu      sync.Mutex // protects what follows
	queue   []os.Signal
	running bool // a goroutine is in act
	pressed map[os.Signal]presses
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

// catch hands the table's signals to the Manager from now on. What is ignored
// when the program starts stays ignored: nohup, and the background jobs of a
// shell without job control. (Go's runtime keeps that of SIGHUP and SIGINT only;
// by the time anybody can ask, it has installed its handler for the others.)
func (m *Manager) catch() {
	var sigs []os.Signal
	for sig := range m.signals {
		if !m.env.signals.ignored(sig) {
			sigs = append(sigs, sig)
		}
	}
	if len(sigs) == 0 {
		return
	}
	// os/signal drops what does not fit. The reader below never blocks, so
	// this is room for what arrives while it is not scheduled.
	m.caught = make(chan os.Signal, 64)
	m.env.signals.notify(m.caught, sigs...)
	m.released = make(chan struct{})
	m.catching.Go(func() {
		for {
			select {
			case sig := <-m.caught:
				m.take(sig)
			case <-m.released:
				// What came before that may still be there: this goroutine was not
				// scheduled meanwhile, and select looks at both.
				for len(m.caught) > 0 {
					m.take(<-m.caught)
				}
				return
			}
		}
	})
}

// take is what the arrival of a signal does, on the goroutine of catch.
func (m *Manager) take(sig os.Signal) {
	if m.ended() {
		m.oneMore = sig
	} else {
		m.Signal(sig)
	}
}

// catchBrokenPipe keeps a log pipe whose reader has gone from killing the
// process in the middle of its drain: with SIGPIPE caught, a write to a dead
// stdout or stderr is an error like any other. It stays caught: what main
// prints behind Wait must not change the exit code either.
func (m *Manager) catchBrokenPipe() {
	if m.caught != nil && m.signals[syscall.SIGPIPE] == nil && !m.env.signals.ignored(syscall.SIGPIPE) {
		m.env.signals.notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	}
}

// release gives the signals back to the operating system, or to whoever else
// asked for them; signal.Reset would take those out too.
func (m *Manager) release() {
	m.env.signals.stop(m.caught)
	close(m.released)
	m.catching.Wait()
}

// Signal does what the arrival of sig would do: the Action in Config.Signals
// runs soon after. For tests, Windows services and whatever else stands in for
// a signal. It returns at once; a signal that has no Action, or comes after
// the shutdown has ended, changes nothing. Where Config.Signals is empty, so
// that no signal is caught, Signal follows DefaultSignals.
func (m *Manager) Signal(sig os.Signal) {
	m.actions.mu.Lock()
	defer m.actions.mu.Unlock()
	m.actions.queue = append(m.actions.queue, sig)
	if !m.actions.running {
		m.actions.running = true
		go m.act()
	}
}

// act runs queued signals' Actions and ends when there are none.
func (m *Manager) act() {
	finished := false
	defer func() {
		if !finished { // an Action panicked or called Goexit
			if r := recover(); r != nil {
				m.log.error("shutdown: signal action panicked", "error", logText{newPanicError(r), maxErrText})
			}
			go m.act()
		}
	}()
	table := m.signals
	if len(table) == 0 {
		table = DefaultSignals()
	}
	for {
		m.actions.mu.Lock()
		if len(m.actions.queue) == 0 {
			m.actions.running = false
			m.actions.mu.Unlock()
			finished = true
			return
		}
		sig := m.actions.queue[0]
		m.actions.queue = m.actions.queue[1:]
		m.actions.mu.Unlock()
		if action := table[sig]; action != nil && !m.ended() {
			action(m, sig)
		}
	}
}

// tellTerminal tells the person who has pressed Ctrl-C, if there is one.
func (m *Manager) tellTerminal(sig os.Signal, line string) {
	if sig == os.Interrupt && m.env.terminal() {
		m.log.info(line)
	}
}

func (m *Manager) ended() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// count returns 1, 2, 3 for the first, second and third press of sig, and 0
// for one that belongs to the press before. Another signal that has asked for
// the end counts as the first.
func (m *Manager) count(sig os.Signal) int {
	m.mu.Lock()
	asked, askedAt := m.asked, m.askedAt
	m.mu.Unlock()
	m.actions.mu.Lock()
	defer m.actions.mu.Unlock()
	p, now := m.actions.pressed[sig], time.Now()
	if p.n == 0 && asked != nil && asked != sig {
		p = presses{1, askedAt}
	}
	if p.n > 0 && now.Sub(p.last) < samePress {
		return 0
	}
	if m.actions.pressed == nil {
		m.actions.pressed = make(map[os.Signal]presses)
	}
	m.actions.pressed[sig] = presses{p.n + 1, now}
	return p.n + 1
}

// raise lets the operating system do with sig what it does by default.
func (m *Manager) raise(sig os.Signal) {
	if m.caught == nil {
		return
	}
	m.env.signals.stop(m.caught)
	m.env.signals.raise(sig)
}

package shutdown

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/internal/asynclog"
	"github.com/gracefulgo/shutdown/internal/diagnose"
	"github.com/gracefulgo/shutdown/internal/grace"
	"github.com/gracefulgo/shutdown/internal/postmortem"
	"github.com/gracefulgo/shutdown/internal/sequence"
)

// Config says how a Manager behaves. The zero value suits most services: the
// grace period is learnt from the environment or guessed from the platform,
// and all else follows from it. New refuses values that contradict each other.
//
// Three environment variables, for whoever deploys the service, beat what is
// set here: SHUTDOWN_GRACE_PERIOD, SHUTDOWN_LAME_DUCK, and SHUTDOWN_PRESTOP, the
// length of a preStop sleep, which is taken off the grace period and credited
// to the lame duck. Each is a duration ("30s") or a number of seconds ("30"). A
// value that is neither is logged and ignored.
type Config struct {
	// GracePeriod is what the platform grants from the first signal to
	// SIGKILL: terminationGracePeriodSeconds, docker stop --timeout,
	// TimeoutStopSec. Zero means that it is found out.
	GracePeriod time.Duration

	// Timeout is when everything has ended, counted from the first signal. It
	// must be shorter than GracePeriod. Zero means GracePeriod less a tenth, at
	// most 5 s less.
	Timeout time.Duration

	// LameDuck is how long the service serves on after it was told to leave,
	// for those who have not heard of it yet. Zero means: in Kubernetes, if
	// there is a Drain hook (a server has one), 5 s but at most a quarter of
	// Timeout; elsewhere none. Negative means none.
	LameDuck time.Duration

	// Reserve is the part of Timeout that is kept for Close, whatever hangs
	// before. Zero means a fifth of Timeout, or less to make room for LameDuck.
	Reserve time.Duration

	// Signals says what to do on which signal. Nil means DefaultSignals. Empty,
	// as NoSignals returns it, means that none is caught: New then starts no
	// goroutine that stays (but see Record) and does not touch os/signal, for
	// tests and for programs that catch their own.
	Signals map[os.Signal]Action

	// Record is the path of the post-mortem record: a file that says how far
	// this run has come, so that the next one can tell if it was killed, and
	// where (Manager.LastRun). It is written when the program starts, and from
	// the beginning of the shutdown on at each step and once a second. Beside it
	// there is a lock, its name with .lock. What goes wrong with either is
	// logged, and changes nothing else. It is read and written on a goroutine
	// that exists as long as that takes. Empty means none.
	Record string

	// Logger gets a line when the shutdown begins, one a second while it waits
	// and one at the end. Nil means slog.Default().
	Logger *slog.Logger
}

// A Manager ends a program well: once told to by a signal, an error or a call,
// it takes it through Leave, Drain and Close, in bounded time. Managers do not
// know of each other. All methods may be called from anywhere and at any time,
// hooks, workers and Actions included, except that Wait inside of one of those
// waits for itself until it is left behind.
type Manager struct {
	env      env
	started  time.Time
	budget   grace.Budget
	base     context.Context // carries the Manager
	log      *asynclog.Queue
	tracker  Tracker            // what is in flight
	sequence *sequence.Sequence // phases, hooks, contexts
	jobs     jobs
	signals  signals
	record   *postmortem.Record[Report] // nil if there is none
	message  *postmortem.Termination

	waiting chan struct{} // closed by the first Wait
	wait    sync.Once     // closes waiting
	done    chan struct{} // closed when the shutdown has ended
	err     error         // what Wait returns; written before done is closed

	stacks chan struct{} // closed when logOverdue has logged stacks; nil if there are none; of the goroutine in run

	mu         sync.Mutex // protects what follows; the lock of sequence may be held when it is taken, and never the other way round
	isRun      bool       // Run has made it, and returns whatever start does
	errs       []error    // for Wait to join
	unfinished []Task     // still in flight when Drain ended
	cutOff     []Task     // in flight when WorkContext ended, or admitted after that; known when Drain has ended
}

// An env is the process around a Manager. Tests bring their own.
type env struct {
	grace      grace.Env
	process    diagnose.Process
	postmortem postmortem.Env
	signals    signalSource
}

func processEnv() env {
	return env{grace.OfProcess(), diagnose.Self(), postmortem.OfProcess(), processSignals{}}
}

// New returns a Manager that catches cfg.Signals from now on, so that a signal
// that comes during start-up is not lost. Call it first thing in main, and end
// the program with [Manager.Wait]:
//
//	os.Exit(shutdown.ExitCode(m.Wait()))
//
// In between use [Manager.Begin] where a program would call log.Fatal, which
// skips every hook.
//
// [Run] does all of that. New is for programs whose main belongs to somebody else.
//
// Nobody else in the process may act on the same signals; see the package
// documentation.
//
// An error says which field of cfg is impossible, and why. The environment
// never makes New fail. What may keep signals from arriving is logged.
func New(cfg Config) (*Manager, error) { return newManager(cfg, processEnv()) }

func newManager(cfg Config, e env) (*Manager, error) {
	if err := checkSignals(cfg.Signals); err != nil {
		return nil, err
	}
	b, err := grace.New(grace.Config{GracePeriod: cfg.GracePeriod, Timeout: cfg.Timeout, LameDuck: cfg.LameDuck, Reserve: cfg.Reserve}, e.grace)
	if err != nil {
		return nil, err
	}
	m := &Manager{
		env:     e,
		started: time.Now(),
		budget:  b,
		log:     &asynclog.Queue{Logger: cfg.Logger},
		signals: signals{source: e.signals, table: maps.Clone(cfg.Signals)},
		waiting: make(chan struct{}),
		done:    make(chan struct{}),
	}
	if cfg.Signals == nil {
		m.signals.table = DefaultSignals()
	}
	m.base = NewContext(context.Background(), m)
	m.sequence = sequence.New(sequence.Config{
		Base: m.base, Plan: m.plan,
		Drain: m.tracker.Drain, CutOff: m.tracker.cutOff, WorkEnded: m.workEnded, CutOffError: m.cutOffError,
		Began: m.began, Forced: m.logForced, Failed: m.stepFailed, Changed: m.touch, Overdue: m.overdue,
	})
	for _, w := range b.Warnings {
		m.log.Warn("shutdown: " + w)
	}
	m.keep(cfg.Record)
	m.diagnose()
	m.signals.catch(m.arrived)
	return m, nil
}

// plan divides the time of a shutdown.
func (m *Manager) plan(serves bool, cause error) sequence.Plan {
	b := m.budget
	p := sequence.Plan{
		LameDuck: b.LameDuck(serves),
		DrainEnd: b.Timeout - b.Reserve,
		CloseEnd: b.Timeout - m.lastLine(),
		Timeout:  b.Timeout,
		Reserve:  b.Reserve,
	}
	if !closed(m.waiting) && cause != nil && !isRequest(cause) {
		p.LameDuck = 0 // the start has failed: nothing sends requests yet
	}
	return p
}

// Begin begins the shutdown and returns at once. Only the first call counts;
// the clock of Config.Timeout starts with it. A nil cause, or a SignalError
// itself, is a request; any other cause becomes part of what Wait returns, so that the
// exit code says that something was wrong. If it is no request and nobody has
// called Wait yet, the start has failed: there is no lame duck then.
func (m *Manager) Begin(cause error) { m.begin(cause, false) }

// Force begins the shutdown if it has not begun, and cuts it short: Leave and
// Drain hooks and WorkContext are cancelled, hooks that do not return within a
// moment (100 ms at most) are left behind, and Close has at most Config.Reserve from now. What is in
// flight at that moment, or is let in after it, was cut off: see Wait. Force
// returns at once. Only the first call counts, and none does after the end.
func (m *Manager) Force(cause error) {
	m.begin(cause, true)
	m.sequence.Force(cause)
}

// begin reports whether this call has begun the shutdown.
func (m *Manager) begin(cause error, force bool) bool {
	if sig, ok := cause.(SignalError); ok { //nolint:errorlint // an error that wraps one is no request
		m.signals.asks(sig.Signal)
	}
	if !m.sequence.Begin(cause, force) {
		return false
	}
	go m.run()
	return true
}

// Wait blocks until the shutdown has ended, at Config.Timeout after its
// beginning at the latest, even if every hook hangs (in a process that is starved
// of CPU, as much later as its timers are). It begins one only if there
// are jobs and the last has returned; see Job. Any number of goroutines may call
// it, also after the end; all get the same.
//
// Wait returns nil only if the shutdown was asked for and everything ended
// well. Otherwise its error joins what applies of: the cause given to Begin; a
// *HookError for each hook, worker or job that failed, did not finish or was
// left behind; an error that names the work that was cut off, which is ErrTimeout
// or ErrForced; and one that is ErrForced and wraps the cause.
//
// Work is cut off if it is in flight when WorkContext ends, by the deadline or by
// force, or if it is let in after that. Whatever it does then, an answer
// included, it is named here and in the Report: it may have given up half way.
//
// Shortly after Wait has returned, signals are the operating system's again, so
// that one more ends a main that hangs behind it. A main that never comes to
// call Wait is ended as well: if at the Timeout nobody has called it, and a
// signal has come, the Manager raises that again, with the operating system's
// default. (As pid 1, which no default action kills, the program exits with 2.)
func (m *Manager) Wait() error {
	m.wait.Do(func() { close(m.waiting) })
	m.beginIfJobsDone()
	<-m.done
	return m.err
}

// Waiting returns a channel that is closed when Wait is called for the first time:
// main has started everything.
func (m *Manager) Waiting() <-chan struct{} { return m.waiting }

const (
	// The end of the run keeps a moment for its last log line, and has a longer one if
	// there is time. Only a log that does not work takes it.
	minFlush = 20 * time.Millisecond
	maxFlush = 100 * time.Millisecond
	// So long the first hook waits for the first log line.
	startFlush = 5 * time.Millisecond
)

// lastLine is the time that is kept for the last log line.
func (m *Manager) lastLine() time.Duration { return min(minFlush, m.budget.Timeout/50) }

// run is the whole shutdown, on a goroutine that begin starts.
func (m *Manager) run() {
	begun := m.sequence.Snapshot().Begun
	m.log.Flush(startFlush)
	unreaped := m.env.process.WatchUnreaped()
	stopTicks := m.tick(begun)
	m.sequence.Run()
	stopTicks()
	m.logFinding(unreaped())
	m.finish(begun.Add(m.budget.Timeout))
}

// finish logs and records how it ended, and stops catching signals.
func (m *Manager) finish(end time.Time) {
	flush := m.lastLine()
	by := m.sequence.ForcedEnd(end)
	m.err = m.joinErrors()
	m.awaitStacks(by.Add(-flush))
	m.flushKeepers(time.Now().Add(max(flush, time.Until(by)) - flush/2))
	m.logEnded()
	m.log.Flush(max(flush/2, min(maxFlush, time.Until(end))))
	if m.signals.caught == nil {
		close(m.done)
		return
	}
	hangs := m.hangs(by)
	if hangs {
		m.log.Error("shutdown: nobody has called Wait")
		m.log.Flush(maxFlush)
	}
	close(m.done)
	// A repeated signal that comes between here and os.Exit must not spoil the exit
	// code, so main has a moment to get there. If it does not, the signal does what it
	// would have done.
	if !hangs {
		time.Sleep(maxFlush)
	}
	m.signals.release(hangs)
}

// hangs reports whether nobody has called Wait by end: until then main may be in a
// start-up that goes on. Run returns in any case.
func (m *Manager) hangs(end time.Time) bool {
	m.mu.Lock()
	isRun := m.isRun
	m.mu.Unlock()
	if isRun {
		return false
	}
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-m.waiting:
	case <-timer.C:
	}
	return !closed(m.waiting)
}

// AcceptContext is done when the shutdown begins; [context.Cause] then says why.
// It answers "may I start something new?": fetch with it, poll with it.
func (m *Manager) AcceptContext() context.Context { return m.sequence.Accept() }

// WorkContext is done when work in flight has to give up: shortly before the
// end of Drain (a fifth of Drain, at most 2 s), or when the end is forced. Its
// cause is then ErrTimeout or ErrForced, and what is in flight was cut off; see
// Wait. If the drain ends in time, WorkContext lives on until Close has ended. It
// answers "may I go on?": handle with it what was fetched with AcceptContext. A
// Close hook flushes with the context that it is given.
func (m *Manager) WorkContext() context.Context { return m.sequence.Work() }

// Reached returns a channel that is closed when phase p begins: when the phase
// is over it stays closed, and Reached(Running) always is. Reached(Done) is
// closed before Wait returns. It panics if there is no such phase.
func (m *Manager) Reached(p Phase) <-chan struct{} {
	c := m.sequence.Reached(sequence.Phase(p))
	if c == nil {
		panic(fmt.Sprintf("shutdown: Reached(%v): there is no such phase", p))
	}
	return c
}

// Phase returns where the Manager is. It costs one atomic load, so a loop can
// ask at each turn.
func (m *Manager) Phase() Phase { return Phase(m.sequence.Phase()) }

// Track counts a piece of work as in flight until done is called; Drain waits
// for it, and logs and reports call it by name. ok is false if it is too late,
// because the drain has ended: then the work must not be done. Until then, also
// in Leave and Drain, Track succeeds: what was accepted is work like any other.
// See [Tracker.Track]; done may be called more than once.
func (m *Manager) Track(name string) (done func(), ok bool) { return m.tracker.Track(name) }

// Tasks returns what is in flight now, oldest first: what Track, Go and Job count.
func (m *Manager) Tasks() []Task { return m.tracker.Tasks() }

// closed reports whether c is closed; nothing is ever sent on it.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

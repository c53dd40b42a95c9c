package shutdown

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gracefulgo/shutdown/internal/inflight"
	"github.com/gracefulgo/shutdown/internal/probe"
	"github.com/gracefulgo/shutdown/internal/warning"
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
	env     env
	log     *logQueue
	budget  budget // but for lameDuck, which begin settles; see budgetLocked
	signals map[os.Signal]Action
	started time.Time
	tracker Tracker
	actions actions

	findings []Finding // of New

	// base carries the Manager. The others are derived from it: accept ends
	// when the shutdown begins, work shortly before Drain does, force when the
	// end is forced.
	base, accept, work, force    context.Context
	endAccept, endWork, endForce context.CancelCauseFunc

	record  *recorder // nil if there is none
	keepers []*keeper // of the record and of the termination log

	caught   chan os.Signal // nil if no signal is caught
	released chan struct{}  // closed by release
	oneMore  os.Signal      // that was caught, but not yet dealt with when done was closed; read after catching
	catching sync.WaitGroup

	waiting  chan struct{}           // closed by the first Wait, with mu held
	reached  map[Phase]chan struct{} // closed when the phase begins, with mu held
	done     chan struct{}           // closed when the shutdown has ended
	err      error                   // what Wait returns; written before done is closed
	changed  chan struct{}           // holds one wake-up for the goroutine in run
	workOver sync.Once               // WorkContext has ended, and why is settled

	stacksLogged chan struct{} // closed when logLeftovers is done; nil if it had nothing to do; of the goroutine in run

	phase atomic.Int64 // a Phase; written with mu held

	mu         sync.Mutex   // protects what follows
	begun      time.Time    // zero while Running
	cause      error        // of Begin
	asked      os.Signal    // the first that asked for the end, also after it had begun; nil if none did
	askedAt    time.Time    // when it did
	forced     *forcedError // nil unless the end was forced
	forcedAt   time.Time
	waited     bool // Wait has been called
	isRun      bool // Run has made it, and returns whatever start does
	jobs       jobs
	took       time.Duration   // of the whole shutdown, once Done
	hooks      []*hook         // that have not run yet, as registered
	active     []*hook         // that run now
	steps      []Step          // of hooks that run or have run, and of phases
	errs       []error         // for Wait to join
	unfinished []Task          // still in flight when Drain ended
	cutOff     []Task          // in flight when WorkContext ended, or let in after that; known when Drain has ended
	cutAt      time.Time       // when WorkContext ended, by the deadline or by force; zero if it did not
	concurrent context.Context // for Leave and Drain hooks that come late
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
// never makes New fail. What may keep signals from arriving is logged; see
// [Manager.Diagnose].
func New(cfg Config) (*Manager, error) { return newManager(cfg, processEnv()) }

func newManager(cfg Config, e env) (*Manager, error) {
	if err := checkSignals(cfg.Signals); err != nil {
		return nil, err
	}
	b, err := newBudget(cfg, e)
	if err != nil {
		return nil, err
	}
	m := &Manager{
		env:     e,
		log:     &logQueue{logger: cfg.Logger},
		budget:  b,
		signals: maps.Clone(cfg.Signals),
		started: time.Now(),
		waiting: make(chan struct{}),
		reached: make(map[Phase]chan struct{}),
		done:    make(chan struct{}),
		changed: make(chan struct{}, 1),
	}
	if cfg.Signals == nil {
		m.signals = DefaultSignals()
	}
	for p := Running; p <= Done; p++ {
		m.reached[p] = make(chan struct{})
	}
	close(m.reached[Running])
	m.base = context.WithValue(context.Background(), inflight.Key{}, lazyTracker{&m.tracker})
	m.base = context.WithValue(m.base, probe.Key{}, probe.State{Started: m.started, Waiting: m.waiting})
	m.base = context.WithValue(m.base, warning.Key{}, m.log.warn)
	m.base = NewContext(m.base, m)
	m.accept, m.endAccept = context.WithCancelCause(m.base)
	m.work, m.endWork = context.WithCancelCause(m.base)
	m.force, m.endForce = context.WithCancelCause(m.base)
	for _, w := range b.warnings {
		m.log.warn("shutdown: " + w)
	}
	m.keep(cfg.Record)
	m.diagnose()
	m.catch()
	return m, nil
}

type contextKey struct{}

// NewContext returns a context that carries m.
func NewContext(ctx context.Context, m *Manager) context.Context {
	return context.WithValue(ctx, contextKey{}, m)
}

// FromContext returns the Manager that ctx carries. The contexts of hooks,
// workers and requests carry theirs, so that code deep in a call stack can ask
// whether the program is about to end. There is no fallback to the default
// Manager.
func FromContext(ctx context.Context) (*Manager, bool) {
	m, ok := ctx.Value(contextKey{}).(*Manager)
	return m, ok
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
	m.mu.Lock()
	m.forceLocked(cause)
	m.mu.Unlock()
	m.cutIfForced()
}

// begin is the one way from Running to Leave. It reports whether this call has
// begun the shutdown.
func (m *Manager) begin(cause error, force bool) bool {
	m.mu.Lock()
	if sig, ok := cause.(SignalError); ok && m.asked == nil { //nolint:errorlint // an error that wraps one is no request
		m.asked, m.askedAt = sig.Signal, time.Now()
	}
	if m.Phase() != Running {
		m.mu.Unlock()
		return false
	}
	m.begun, m.cause, m.budget = time.Now(), cause, m.budgetLocked()
	if !m.waited && cause != nil && !isRequest(cause) {
		m.budget.lameDuck = 0 // the start has failed: nobody was told to send requests
	}
	m.enterLocked(Leave)
	m.catchBrokenPipe() // before anybody can log that it stops
	m.logStartedLocked(m.begun, m.budget)
	if force {
		m.forceLocked(cause)
	}
	m.mu.Unlock()
	m.note()

	if cause == nil {
		cause = errRequested
	}
	m.endAccept(cause)
	m.cutIfForced()
	go m.run()
	return true
}

// enterLocked changes the phase.
func (m *Manager) enterLocked(p Phase) {
	if p != m.Phase() {
		m.phase.Store(int64(p))
		close(m.reached[p])
	}
}

// budgetLocked is the budget, as far as it is settled; while Running, what it
// would be if the shutdown began now.
func (m *Manager) budgetLocked() budget {
	b := m.budget
	if b.lameDuckIfServing && m.Phase() == Running && !m.servesLocked() {
		b.lameDuck = 0
	}
	return b
}

// servesLocked reports whether anything has to stop taking new work: only then
// does a lame duck make sense.
func (m *Manager) servesLocked() bool {
	for _, h := range m.hooks {
		if h.phase == Drain {
			return true
		}
	}
	return false
}

func (m *Manager) forceLocked(cause error) {
	if m.forced == nil && m.Phase() != Done {
		m.forced, m.forcedAt = &forcedError{cause}, time.Now()
		m.log.error("shutdown: forcing the end", "cause", logText{cause, maxErrText})
		m.note()
	}
}

// cutIfForced ends the contexts that a forced end cuts short.
func (m *Manager) cutIfForced() {
	m.mu.Lock()
	forced := m.forced
	m.mu.Unlock()
	if forced != nil {
		m.cut(forced)
		m.endForce(forced)
	}
}

// cut ends WorkContext, by the deadline or by force. What is in flight is marked
// before anybody can know of that, and named when there is time.
func (m *Manager) cut(cause error) {
	m.workOver.Do(func() {
		m.mu.Lock()
		m.cutAt = time.Now()
		m.mu.Unlock()
		m.tracker.cutOff()
		m.endWork(cause)
		m.logCutOff(m.tracker.cutInFlight(), cause)
		m.note()
	})
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
	m.mu.Lock()
	if !m.waited {
		m.waited = true
		close(m.waiting)
	}
	done := m.jobs.doneLocked()
	m.mu.Unlock()
	if done {
		m.Begin(errJobsDone)
	}
	<-m.done
	return m.err
}

// AcceptContext is done when the shutdown begins; [context.Cause] then says why.
// It answers "may I start something new?": fetch with it, poll with it.
func (m *Manager) AcceptContext() context.Context { return m.accept }

// WorkContext is done when work in flight has to give up: shortly before the
// end of Drain (a fifth of Drain, at most 2 s), or when the end is forced. Its
// cause is then ErrTimeout or ErrForced, and what is in flight was cut off; see
// Wait. If the drain ends in time, WorkContext lives on until Close has ended. It
// answers "may I go on?": handle with it what was fetched with AcceptContext. A
// Close hook flushes with the context that it is given.
func (m *Manager) WorkContext() context.Context { return m.work }

// Reached returns a channel that is closed when phase p begins: when the phase
// is over it stays closed, and Reached(Running) always is. Reached(Done) is
// closed before Wait returns. It panics if there is no such phase.
func (m *Manager) Reached(p Phase) <-chan struct{} {
	c, ok := m.reached[p]
	if !ok {
		panic(fmt.Sprintf("shutdown: Reached(%v): there is no such phase", p))
	}
	return c
}

// Phase returns where the Manager is. It costs one atomic load, so a loop can
// ask at each turn.
func (m *Manager) Phase() Phase { return Phase(m.phase.Load()) }

// Track counts a piece of work as in flight until done is called; Drain waits
// for it, and logs and reports call it by name. ok is false if it is too late,
// because the drain has ended: then the work must not be done. Until then, also
// in Leave and Drain, Track succeeds: what was accepted is work like any other.
// See [Tracker.Track]; done may be called more than once.
func (m *Manager) Track(name string) (done func(), ok bool) { return m.tracker.Track(name) }

// Tasks returns what is in flight now, oldest first: what Track, Go and Job count.
func (m *Manager) Tasks() []Task { return m.tracker.Tasks() }

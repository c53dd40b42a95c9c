package shutdown

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/internal/asynclog"
	"github.com/gracefulgo/shutdown/internal/grace"
	"github.com/gracefulgo/shutdown/internal/postmortem"
	"github.com/gracefulgo/shutdown/internal/sequence"
)

// Config says how a Manager behaves. The zero value suits most services: the grace
// period is read from the environment, or guessed from the platform, and all else
// follows from it. New refuses values that contradict each other.
//
// Three environment variables, for whoever deploys the service, take precedence over
// these fields: SHUTDOWN_GRACE_PERIOD, SHUTDOWN_LAME_DUCK, and SHUTDOWN_PRESTOP, the
// length of a preStop sleep, which is subtracted from the grace period and from the
// lame duck. Each is a duration ("30s") or a number of seconds ("30"). A value that is
// neither is logged and ignored.
type Config struct {
	// GracePeriod is the time that the platform grants from the first signal to SIGKILL:
	// terminationGracePeriodSeconds, docker stop --timeout, TimeoutStopSec. Zero means
	// that it is found out.
	GracePeriod time.Duration

	// Timeout is when everything has ended, counted from the first signal. It must be
	// shorter than GracePeriod. Zero means GracePeriod less a tenth, at most 5 s less.
	Timeout time.Duration

	// LameDuck is how long the service goes on serving after the shutdown has begun,
	// because some clients do not know yet that it is leaving. Zero means 5 s, at most a
	// quarter of Timeout, in Kubernetes and if there is a Drain hook (a server has one);
	// elsewhere none. Negative means none.
	LameDuck time.Duration

	// Reserve is the part of Timeout that is kept for Close hooks, even if earlier phases
	// hang. Zero means a fifth of Timeout, or less to make room for LameDuck.
	Reserve time.Duration

	// Signals says what to do on which signal. Nil means DefaultSignals. Empty, as
	// NoSignals returns it, means that no signal is caught, for tests and for programs
	// that catch their own: New then does not touch os/signal.
	Signals map[os.Signal]Action

	// Record is the path of the post-mortem record, a file that says how far this run has
	// come, so that the next one can tell whether it was killed, and where
	// (Manager.LastRun). It is written when the program starts and, from the beginning of
	// the shutdown on, at each step and once a second. Beside it there is a lock file,
	// its name with .lock. Errors with either are logged and have no other effect. Empty
	// means none.
	Record string

	// Logger gets a line when the shutdown begins, one each second while it waits, and
	// one at the end. Nil means slog.Default().
	Logger *slog.Logger
}

// A Manager implements graceful shutdown. Once a signal, an error or a call tells it to,
// it goes through Leave, Drain and Close, in bounded time. Managers do not know of each
// other. All methods may be called from any goroutine and at any time, also inside of
// hooks, workers and Actions, except that Wait would wait for itself there.
type Manager struct {
	env      env
	started  time.Time
	budget   grace.Budget
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

	stacks chan struct{} // closed when overdue has logged the stacks; nil if there are none; of the goroutine in run

	mu         sync.Mutex // protects what follows; the lock of sequence may be held when it is taken, and never the other way round
	isRun      bool       // Run has made it, and returns whatever start does
	errs       []error    // for Wait to join
	unfinished []Task     // still in flight when Drain ended
	traffic    traffic
	cutOff     []Task // in flight when WorkContext ended, or admitted after that; known when Drain has ended
}

// New returns a Manager that catches cfg.Signals from now on, so that a signal that
// arrives during start-up is not lost. Call it first thing in main, and end the program
// with [Manager.Wait]:
//
//	os.Exit(shutdown.ExitCode(m.Wait()))
//
// In between use [Manager.Begin] instead of log.Fatal, which skips every hook. [Run] does
// all of that; New is for programs whose main belongs to somebody else. Nothing else in
// the process may act on the same signals; see the package documentation.
//
// An error names the field of cfg that is impossible, and says why. The environment never
// makes New fail. What may keep signals from arriving is logged as a warning.
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
		log:     &asynclog.Queue{Logger: cfg.Logger, Prefix: "shutdown: "},
		signals: signals{source: e.signals, table: maps.Clone(cfg.Signals)},
		waiting: make(chan struct{}),
		done:    make(chan struct{}),
	}
	if cfg.Signals == nil {
		m.signals.table = DefaultSignals()
	}
	m.sequence = sequence.New(sequence.Config{
		Base: NewContext(context.Background(), m), Plan: m.plan,
		Drain: m.tracker.Drain, CutOff: m.tracker.work.CutOff, WorkEnded: m.workEnded, CutOffError: m.cutOffError,
		Began: m.began, Forced: m.logForced, Failed: m.stepFailed, Changed: m.touch, Overdue: m.overdue,
	})
	for _, w := range b.Warnings {
		m.log.Warn("shutdown: " + w)
	}
	m.keep(cfg.Record)
	for _, f := range e.process.Look(slices.Collect(maps.Keys(m.signals.table)), func(sig os.Signal) bool { return e.signals.ignored(sig) }) {
		m.log.Warn("shutdown: " + f.String())
	}
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

// Begin begins the shutdown and returns at once. Only the first call has an effect; the
// clock of Config.Timeout starts with it. A nil cause, or a SignalError itself, is a
// request. Any other cause is a failure: it is part of what Wait returns, and if nobody
// has called Wait yet, the start has failed and there is no lame duck.
func (m *Manager) Begin(cause error) { m.begin(cause, false) }

// Force begins the shutdown if it has not begun, and cuts it short: WorkContext and the
// contexts of Leave and Drain hooks end, hooks that do not return within a moment (100 ms
// at most) are abandoned, and Close has at most Config.Reserve from now. Work that is in
// flight now, or is admitted later, was cut off; see Wait. Force returns at once. Only the
// first call has an effect, and none has after the end.
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

// Wait blocks until the shutdown has ended, which is at Config.Timeout at the latest, even
// if every hook hangs. (In a process that gets no CPU it is as much later as its timers
// are.) Wait does not begin the shutdown, unless there are jobs and the last has returned;
// see Job. Any number of goroutines may call it, also after the end; all get the same error.
//
// Do not call Wait in a hook, a worker, a job or a request: the shutdown waits for them until
// their time is up, and then reports them as abandoned or cut off.
//
// Wait returns nil only if the shutdown was requested and everything ended well.
// Otherwise its error joins, as far as they apply: the cause given to Begin; a *HookError
// for each hook, worker or job that failed, did not finish or was abandoned; an error that
// is ErrTimeout or ErrForced and names the work that was cut off; and one that is
// ErrForced and wraps the cause.
//
// Work is cut off if it is in flight when WorkContext ends by the deadline or by force, or
// is admitted after that. It is named here and in the Report whatever it does afterwards,
// an answer included: it may have given up half way.
//
// Shortly after Wait has returned, the Manager stops catching signals, so that one more
// ends a main that hangs after it. If nobody has called Wait by the Timeout, and a signal
// has come, main hangs as well: the Manager raises that signal again, with the default
// action of the operating system. (Pid 1 has none, and exits with 2.)
func (m *Manager) Wait() error {
	m.wait.Do(func() { close(m.waiting) })
	m.beginIfJobsDone()
	<-m.done
	return m.err
}

// Waiting returns a channel that is closed when Wait is called for the first time: main
// has started everything.
func (m *Manager) Waiting() <-chan struct{} { return m.waiting }

const (
	// For the last log line the shutdown keeps minFlush, and uses up to maxFlush if there
	// is time. Only a log that does not work takes it.
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
	if f, found := unreaped(); found {
		m.log.Warn("shutdown: " + f.String())
	}
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

// AcceptContext ends when the shutdown begins; [context.Cause] says why. Fetch and poll
// with it: it answers whether something new may be started.
func (m *Manager) AcceptContext() context.Context { return m.sequence.Accept() }

// WorkContext ends when work in flight has to give up: shortly before the end of Drain (a
// fifth of Drain, at most 2 s), or when the end is forced. Its cause is then ErrTimeout or
// ErrForced. If the drain ends in time, WorkContext ends after Close. Handle with it what
// was fetched with AcceptContext. A Close hook flushes with its own context.
func (m *Manager) WorkContext() context.Context { return m.sequence.Work() }

// Reached returns a channel that is closed when phase p begins, and stays closed when it
// is over. Reached(Running) is always closed; Reached(Done) is closed before Wait returns.
// It panics if there is no such phase.
func (m *Manager) Reached(p Phase) <-chan struct{} {
	c := m.sequence.Reached(sequence.Phase(p))
	if c == nil {
		panic(fmt.Sprintf("shutdown: Reached(%v): there is no such phase", p))
	}
	return c
}

// Phase returns the present phase. It costs one atomic load.
func (m *Manager) Phase() Phase { return Phase(m.sequence.Phase()) }

package shutdown

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/internal/bridge"
	"github.com/gracefulgo/shutdown/internal/clip"
	"github.com/gracefulgo/shutdown/internal/diagnose"
	"github.com/gracefulgo/shutdown/internal/grace"
	"github.com/gracefulgo/shutdown/internal/inflight"
	"github.com/gracefulgo/shutdown/internal/postmortem"
	"github.com/gracefulgo/shutdown/internal/sequence"
)

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

// The default Manager is made on first use, so that importing this package has no effect on
// signals.
var (
	defaultMu      sync.Mutex // protects what follows
	defaultManager *Manager
	defaultUsed    bool // by anybody but SetDefault
)

// Default returns the Manager that the package's functions use. The first use makes it with
// New(Config{}), unless SetDefault or Run has set it. The default is for main: libraries
// take a *Manager or return a stop function.
func Default() *Manager {
	defaultMu.Lock()
	defer defaultMu.Unlock()
	if defaultManager == nil {
		m, err := New(Config{})
		if err != nil {
			panic(err) // the zero Config contradicts nothing, and the environment cannot
		}
		defaultManager = m
	}
	defaultUsed = true
	return defaultManager
}

// SetDefault makes m the Manager that Default returns. It panics if m is nil, or if the
// default has been used already, because hooks on two Managers would not know of each other.
func SetDefault(m *Manager) {
	defaultMu.Lock()
	defer defaultMu.Unlock()
	if m == nil {
		panic("shutdown: SetDefault(nil)")
	}
	if defaultUsed {
		panic("shutdown: SetDefault: the default Manager is in use already; set it first thing in main")
	}
	defaultManager = m
}

// Run is what most mains are:
//
//	func main() {
//		os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start)))
//	}
//
// It makes a Manager with New(cfg), which becomes the default one, calls start with it, and
// returns what Wait returns. It blocks until the shutdown has ended. If there is a default
// Manager already, or New fails, Run logs and returns an error, and does not call start.
//
// start opens and starts the parts of the program, and returns. An error begins the shutdown
// and is its cause: what start has registered so far is closed. So do a panic and a Goexit,
// which go on in the goroutine that has called Run when the shutdown has ended.
//
// start runs on a goroutine of its own and is in flight under the name "start": a shutdown
// that begins meanwhile waits for it, and judges its error as that of a worker (see Go).
// What start waits for should end with [Manager.AcceptContext]. If a signal arrives before
// start, start is not called. If start has not returned when the shutdown has ended, Run
// returns an error that is ErrTimeout and says so.
func Run(cfg Config, start func(*Manager) error) error {
	m, err := newDefault(cfg, start)
	if err != nil {
		logger := cfg.Logger
		if logger == nil {
			logger = slog.Default()
		}
		logger.Error("shutdown: not started", "error", clip.To(err.Error(), maxErrText)) // main may only look at ExitCode
		return err
	}
	return m.runStart(start)
}

// runStart is Run with a Manager that is there.
func (m *Manager) runStart(start func(*Manager) error) error {
	var how error // start has ended; read after returned is closed
	returned := make(chan struct{})
	w := &worker{name: kindStart, kind: kindStart}
	w.run = func(context.Context) error { return start(m) }
	w.ended = func(err error) { how = err; close(returned) }
	m.mu.Lock()
	m.isRun = true
	m.mu.Unlock()
	if !m.startWorker(w) {
		return m.Wait()
	}
	select {
	case <-returned:
	case <-m.done:
	}
	err := m.Wait()
	select {
	case <-returned:
	default:
		return errors.Join(err, w.failure(sequence.ErrAbandoned))
	}
	if how == sequence.ErrGoexit { //nolint:errorlint // no error of start's own
		runtime.Goexit()
	}
	if p, ok := how.(*sequence.PanicError); ok { //nolint:errorlint // as above
		panic(p)
	}
	return err
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

// newDefault is New for the default Manager.
func newDefault(cfg Config, start func(*Manager) error) (*Manager, error) {
	if start == nil {
		return nil, errors.New("shutdown: Run: start is nil")
	}
	defaultMu.Lock()
	defer defaultMu.Unlock()
	if defaultManager != nil {
		return nil, errors.New("shutdown: Run: there is a default Manager already: Run makes its own, so call it first thing in main, and once")
	}
	m, err := New(cfg)
	if err != nil {
		return nil, err
	}
	defaultManager, defaultUsed = m, true
	return m, nil
}

type contextKey struct{}

// NewContext returns a context that carries m.
func NewContext(ctx context.Context, m *Manager) context.Context {
	return context.WithValue(ctx, contextKey{}, m)
}

// FromContext returns the Manager that ctx carries. The contexts of hooks, workers and
// requests carry theirs. FromContext never returns the default Manager for a context that
// carries none.
func FromContext(ctx context.Context) (*Manager, bool) {
	m, ok := ctx.Value(contextKey{}).(*Manager)
	return m, ok
}

// On calls [Manager.On] of the default Manager.
func On(p Phase, name string, stop func(context.Context) error) (remove func() bool) {
	return Default().On(p, name, stop)
}

// Go calls [Manager.Go] of the default Manager.
func Go(name string, run func(context.Context) error) { Default().Go(name, run) }

// Job calls [Manager.Job] of the default Manager.
func Job(name string, run func(context.Context) error) { Default().Job(name, run) }

// Track calls [Manager.Track] of the default Manager.
func Track(name string) (done func(), ok bool) { return Default().Track(name) }

// Wait calls [Manager.Wait] of the default Manager.
func Wait() error { return Default().Wait() }

func init() {
	bridge.InFlight = func(m any) *inflight.Tracker { return &m.(*Manager).tracker.work }
	bridge.Warn = func(m any, msg string, args ...any) { m.(*Manager).log.Warn(msg, args...) }
}

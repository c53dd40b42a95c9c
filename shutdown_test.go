package shutdown_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/testclock"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

// noSignals keeps os/signal out of tests: inside a synctest bubble it would end
// the process.
var noSignals = map[os.Signal]shutdown.Action{}

// newManager has a grace period of 30 s unless cfg says otherwise: a timeout of
// 27 s, of which Close has 5.4 s, and Leave 10.8 s if it hangs.
func newManager(t testing.TB, cfg shutdown.Config) (*shutdown.Manager, *testlog.Buffer) {
	t.Helper()
	log := &testlog.Buffer{}
	if cfg.Signals == nil {
		cfg.Signals = noSignals
	}
	if cfg.GracePeriod == 0 {
		cfg.GracePeriod = 30 * time.Second
	}
	if cfg.LameDuck == 0 {
		cfg.LameDuck = -1
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	}
	m, err := shutdown.New(cfg)
	require.NoError(t, err)
	return m, log
}

// A diary records events in order.
type diary struct {
	mu      sync.Mutex
	entries []string
}

func (d *diary) add(entry string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, entry)
}

func (d *diary) hook(entry string) func(context.Context) error {
	return func(context.Context) error { d.add(entry); return nil }
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.entries...)
}

func TestPhasesComeInOrderAndCloseHooksLastInFirstOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		var d diary
		m.On(shutdown.Close, "db", d.hook("db"))
		m.On(shutdown.Drain, "http", d.hook("http"))
		m.On(shutdown.Leave, "consul", d.hook("consul"))
		m.On(shutdown.Close, "cache", d.hook("cache"))
		done, ok := m.Track("GET /")
		require.True(t, ok)
		go func() {
			<-m.AcceptContext().Done()
			time.Sleep(3 * time.Second)
			d.add("request answered")
			done()
		}()

		m.Begin(nil)
		require.NoError(t, m.Wait())
		require.Equal(t, []string{"consul", "http", "request answered", "cache", "db"}, d.all())
		require.Equal(t, 3*time.Second, m.Report().Took, "it ends when the work ends")
		require.Equal(t, shutdown.Done, m.Phase())
	})
}

func TestHooksOfLeaveAndOfDrainRunAtTheSameTime(t *testing.T) {
	for _, p := range []shutdown.Phase{shutdown.Leave, shutdown.Drain} {
		synctest.Test(t, func(t *testing.T) {
			m, _ := newManager(t, shutdown.Config{})
			both := make(chan struct{})
			m.On(p, "one", func(context.Context) error { both <- struct{}{}; return nil })
			m.On(p, "other", func(context.Context) error { <-both; return nil })
			m.Begin(nil)
			require.NoError(t, m.Wait())
			require.Zero(t, m.Report().Took)
		})
	}
}

func TestWaitReturnsNilOnlyIfAllWentWell(t *testing.T) {
	boom := errors.New("boom")
	hook := func(p shutdown.Phase, stop func(context.Context) error) func(*shutdown.Manager) {
		return func(m *shutdown.Manager) {
			m.On(p, "it", stop)
			m.Begin(nil)
		}
	}
	returns := func(err error) func(context.Context) error {
		return func(context.Context) error { return err }
	}
	for name, test := range map[string]struct {
		do   func(*shutdown.Manager)
		is   error
		text string
		code int
	}{
		"asked for":                         {do: func(m *shutdown.Manager) { m.Begin(nil) }},
		"asked for by a signal":             {do: func(m *shutdown.Manager) { m.Signal(os.Interrupt) }},
		"begun by an error":                 {do: func(m *shutdown.Manager) { m.Begin(boom) }, is: boom, code: 1},
		"forced":                            {do: func(m *shutdown.Manager) { m.Force(boom) }, is: shutdown.ErrForced, text: "boom", code: 1},
		"forced without a cause":            {do: func(m *shutdown.Manager) { m.Force(nil) }, is: shutdown.ErrForced, code: 1},
		"forced by a signal":                {do: func(m *shutdown.Manager) { m.Force(shutdown.SignalError{Signal: os.Interrupt}) }, is: shutdown.ErrForced, code: 130},
		"a Leave hook fails":                {do: hook(shutdown.Leave, returns(boom)), is: boom, text: `shutdown: leave hook "it": boom`, code: 1},
		"a Drain hook fails":                {do: hook(shutdown.Drain, returns(boom)), is: boom, text: `shutdown: drain hook "it": boom`, code: 1},
		"a Close hook fails":                {do: hook(shutdown.Close, returns(boom)), is: boom, text: `shutdown: close hook "it": boom`, code: 1},
		"a hook panics":                     {do: hook(shutdown.Close, func(context.Context) error { panic(boom) }), is: boom, text: "shutdown_test.go:", code: 1},
		"a hook calls Goexit":               {do: hook(shutdown.Drain, func(context.Context) error { runtime.Goexit(); return nil }), text: "Goexit", code: 1},
		"a hook panics with text":           {do: hook(shutdown.Leave, func(context.Context) error { panic("oh no") }), text: "panic: oh no", code: 1},
		"a hook returns SIGINT, not forced": {do: hook(shutdown.Close, returns(shutdown.SignalError{Signal: os.Interrupt})), code: 1, text: "signal"},
		"a worker fails":                    {do: func(m *shutdown.Manager) { m.Go("it", returns(boom)) }, is: boom, text: `shutdown: worker "it": boom`, code: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, _ := newManager(t, shutdown.Config{})
				ran := 0
				m.On(shutdown.Close, "last", func(context.Context) error { ran++; return nil })
				test.do(m)
				err := m.Wait()
				require.Equal(t, 1, ran, "the other hooks run, whatever fails")
				require.Equal(t, test.code, shutdown.ExitCode(err))
				if test.code == 0 {
					require.NoError(t, err)
					return
				}
				require.Error(t, err)
				require.Contains(t, err.Error(), test.text)
				if test.is != nil {
					require.ErrorIs(t, err, test.is)
				}
				require.Equal(t, err, m.Wait(), "every call returns the same")
			})
		})
	}
}

// stuck registers a hook that hangs in Leave and in Drain, and two in Close, and tracks three
// requests that never end. Between the two Close hooks that hang, one writes a file.
func stuck(t testing.TB, m *shutdown.Manager, release <-chan struct{}) (file string) {
	file = filepath.Join(t.TempDir(), "buffer")
	hang := func(context.Context) error { <-release; return nil }
	m.On(shutdown.Leave, "consul", hang)
	m.On(shutdown.Drain, "http", hang)
	m.On(shutdown.Close, "db", hang)
	m.On(shutdown.Close, "buffer", func(context.Context) error { return os.WriteFile(file, []byte("all of it"), 0o600) })
	m.On(shutdown.Close, "cache", hang)
	for _, name := range []string{"GET /a", "GET /b", "GET /c"} {
		_, ok := m.Track(name)
		require.True(t, ok)
	}
	return file
}

// requireStuckNamed requires that err and the Report name all that hangs in stuck, and that the
// file was written.
func requireStuckNamed(t testing.TB, m *shutdown.Manager, err error, file string) {
	t.Helper()
	require.True(t, errors.Is(err, shutdown.ErrTimeout) || errors.Is(err, shutdown.ErrForced), "%v", err)
	var abandoned []string
	for _, s := range m.Report().Steps {
		if s.Abandoned {
			abandoned = append(abandoned, s.Name)
		}
	}
	require.Equal(t, []string{"consul", "http", "cache", "db"}, abandoned)
	require.Len(t, m.Report().Unfinished, 3)
	for _, name := range append(abandoned, "GET /a", "GET /b", "GET /c") {
		require.ErrorContains(t, err, name)
		require.Contains(t, m.Report().String(), name)
	}
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "all of it", string(content), "Close has its reserve even if everything else hangs")
}

// Goroutines race in virtual time too, so this is repeated. BenchmarkTimeout measures it in real
// time.
func TestWaitReturnsAtTheTimeoutIfEverythingHangs(t *testing.T) {
	more := testclock.Repetitions(t, 10*time.Second)
	for i := 0; i < 200 && (i < 10 || more()); i++ {
		synctest.Test(t, func(t *testing.T) {
			m, log := newManager(t, shutdown.Config{})
			release := make(chan struct{})
			defer close(release)
			file := stuck(t, m, release)
			m.Begin(nil)
			err := m.Wait()
			require.InDelta(t, 27*time.Second, m.Report().Took, float64(50*time.Millisecond))
			require.LessOrEqual(t, m.Report().Took, 27*time.Second)
			requireStuckNamed(t, m, err, file)
			require.Len(t, log.Lines(`msg="shutdown: timed out"`), 1)
		})
	}
}

func TestOnlyTheFirstBeginHasAnEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		first := errors.New("first")
		done, _ := m.Track("work")
		m.Begin(first)
		time.Sleep(10 * time.Second)
		m.Begin(errors.New("second"))
		m.Signal(os.Interrupt) // forces nothing: it is the first SIGINT
		time.Sleep(5 * time.Second)
		done()
		err := m.Wait()
		require.Equal(t, first.Error(), err.Error())
		require.Equal(t, 15*time.Second, m.Report().Took, "the clock starts at the first")
	})
}

func TestWaitDoesNotBeginTheShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		returned := false
		go func() { _ = m.Wait(); returned = true }()
		time.Sleep(time.Hour)
		require.False(t, returned)
		m.Begin(nil)
		synctest.Wait()
		require.True(t, returned)
	})
}

func TestAcceptContextAndWorkContextEndWithTheirCauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		_, _ = m.Track("never ends")
		require.NoError(t, m.AcceptContext().Err())
		cause := errors.New("disk full")
		m.Begin(cause)
		require.Equal(t, cause, context.Cause(m.AcceptContext()), "ended when Begin returns")
		require.NoError(t, m.WorkContext().Err())
		<-m.WorkContext().Done()
		// Drain ends 5.4 s before the timeout of 27 s.
		require.Equal(t, 21600*time.Millisecond-2*time.Second, time.Since(m.Report().Begun))
		require.ErrorIs(t, context.Cause(m.WorkContext()), shutdown.ErrTimeout)
		require.Equal(t, shutdown.Drain, m.Phase())
		_ = m.Wait()
		from, ok := shutdown.FromContext(m.WorkContext())
		require.True(t, ok)
		require.Same(t, m, from)
	})
}

func TestReachedIsClosedWhenThePhaseBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{LameDuck: 5 * time.Second})
		began := time.Now()
		at := make(map[shutdown.Phase]time.Duration)
		var mu sync.Mutex
		for p := shutdown.Running; p <= shutdown.Done; p++ {
			go func() {
				<-m.Reached(p)
				mu.Lock()
				defer mu.Unlock()
				at[p] = time.Since(began)
				assert.GreaterOrEqual(t, m.Phase(), p)
			}()
		}
		m.On(shutdown.Close, "db", func(context.Context) error { time.Sleep(time.Second); return nil })
		time.Sleep(time.Minute)
		m.Begin(nil)
		require.NoError(t, m.Wait())
		<-m.Reached(shutdown.Done) // before Wait returns
		synctest.Wait()
		require.Equal(t, map[shutdown.Phase]time.Duration{
			shutdown.Running: 0, shutdown.Leave: time.Minute, shutdown.Drain: 65 * time.Second,
			shutdown.Close: 65 * time.Second, shutdown.Done: 66 * time.Second,
		}, at)
		require.PanicsWithValue(t, "shutdown: Reached(Phase(17)): there is no such phase", func() { m.Reached(17) })
	})
}

func TestWorkContextEndsAfterCloseIfTheDrainEndedInTime(t *testing.T) {
	for name, cutOff := range map[string]bool{"in time": false, "cut off": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, _ := newManager(t, shutdown.Config{})
				var inClose, flushed error
				m.On(shutdown.Close, "flush", func(ctx context.Context) error {
					inClose, flushed = m.WorkContext().Err(), ctx.Err()
					return nil
				})
				done, _ := m.Track("GET /")
				go func() {
					if cutOff {
						<-m.WorkContext().Done()
					} else {
						<-m.AcceptContext().Done()
					}
					done()
				}()
				m.Begin(nil)
				require.Equal(t, cutOff, m.Wait() != nil)
				require.Equal(t, cutOff, inClose != nil)
				require.NoError(t, flushed, "the context of the hook has not ended in either case")
				require.Error(t, m.WorkContext().Err(), "ended when Wait returns")
				require.Equal(t, cutOff, errors.Is(context.Cause(m.WorkContext()), shutdown.ErrTimeout))
			})
		})
	}
}

func TestForceCutsLeaveAndDrainShortAndLeavesCloseItsReserve(t *testing.T) {
	for name, before := range map[string]time.Duration{"at once": 0, "in Leave": time.Second, "in Drain": 12 * time.Second, "in Close": 25 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, _ := newManager(t, shutdown.Config{})
				release := make(chan struct{})
				defer close(release)
				file := stuck(t, m, release)
				m.Begin(nil)
				time.Sleep(before)
				forced := time.Now()
				m.Force(errors.New("impatient"))
				if m.Phase() != shutdown.Close {
					require.ErrorIs(t, context.Cause(m.WorkContext()), shutdown.ErrForced)
				}
				err := m.Wait()
				require.LessOrEqual(t, time.Since(forced), 5400*time.Millisecond)
				require.LessOrEqual(t, time.Since(m.Report().Begun), 27*time.Second)
				require.ErrorIs(t, err, shutdown.ErrForced)
				requireStuckNamed(t, m, err, file)
			})
		})
	}
}

func TestForceEndsAtOnceIfNothingHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{LameDuck: 10 * time.Second})
		m.On(shutdown.Drain, "http", func(ctx context.Context) error { <-ctx.Done(); return nil })
		done, _ := m.Track("request")
		go func() { <-m.WorkContext().Done(); done() }()
		m.Begin(nil)
		time.Sleep(time.Second)
		m.Force(nil)
		require.ErrorIs(t, m.Wait(), shutdown.ErrForced)
		require.Equal(t, time.Second, m.Report().Took)
	})
}

func TestTheServiceServesUntilTheEndOfTheLameDuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{LameDuck: 5 * time.Second})
		var drained time.Duration
		m.On(shutdown.Drain, "http", func(context.Context) error { drained = time.Since(m.Report().Begun); return nil })
		m.Begin(nil)
		time.Sleep(4 * time.Second)
		done, ok := m.Track("late request")
		require.True(t, ok)
		done()
		require.NoError(t, m.Wait())
		require.Equal(t, 5*time.Second, drained)
	})
}

func TestALeaveHookThatHangsLeavesDrainItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{LameDuck: 2 * time.Second})
		var drained time.Duration
		left := make(chan time.Duration, 1)
		release := make(chan struct{})
		defer close(release)
		m.On(shutdown.Leave, "consul", func(ctx context.Context) error {
			<-ctx.Done()
			left <- time.Since(m.Report().Begun)
			<-release
			return nil
		})
		m.On(shutdown.Drain, "http", func(context.Context) error { drained = time.Since(m.Report().Begun); return nil })
		m.Begin(nil)
		require.ErrorContains(t, m.Wait(), `leave hook "consul": did not return in time`)
		require.Equal(t, 10800*time.Millisecond, drained, "half of the 21.6 s until the end of Drain")
		require.Equal(t, drained-time.Second, <-left, "so that it has a second to return")
	})
}

func TestTrackSucceedsUntilTheDrainHasEndedAndNeverAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		m.On(shutdown.Leave, "leave", func(context.Context) error { return track(m, true) })
		m.On(shutdown.Drain, "a server that still accepts", func(context.Context) error {
			time.Sleep(time.Second) // nothing is in flight, but the drain has not ended
			return track(m, true)
		})
		m.On(shutdown.Close, "close", func(context.Context) error { return track(m, false) })
		m.Begin(nil)
		require.NoError(t, m.Wait())
		require.NoError(t, track(m, false))
	})
}

func track(m *shutdown.Manager, want bool) error {
	done, ok := m.Track("work")
	done()
	done()
	if ok != want {
		return errors.New("Track in phase " + m.Phase().String() + " is wrong")
	}
	return nil
}

func TestManagersAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, _ := newManager(t, shutdown.Config{})
		other, _ := newManager(t, shutdown.Config{})
		one.Begin(nil)
		require.NoError(t, one.Wait())
		require.Equal(t, shutdown.Running, other.Phase())
		_, ok := shutdown.FromContext(context.Background())
		require.False(t, ok, "the default Manager is not used")
		other.Begin(nil)
		require.NoError(t, other.Wait())
	})
}

func TestEveryMethodMayBeCalledFromHooksAndWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		everything := func(ctx context.Context) error {
			m, ok := shutdown.FromContext(ctx)
			if !ok {
				return errors.New("the context carries no Manager")
			}
			m.Begin(nil)
			_, _, _, _ = m.Phase(), m.Tasks(), m.Report(), m.AcceptContext()
			m.Go("late", func(context.Context) error { return nil })
			m.On(shutdown.Close, "late", func(context.Context) error { return nil })
			done, _ := m.Track("nested")
			done()
			m.Signal(os.Interrupt)
			return nil
		}
		for _, p := range []shutdown.Phase{shutdown.Leave, shutdown.Drain, shutdown.Close} {
			m.On(p, "everything", everything)
		}
		m.Go("everything", everything)
		require.NoError(t, m.Wait())
	})
}

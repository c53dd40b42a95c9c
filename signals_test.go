package shutdown

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/testlog"
)

// fakeSignals stands in for os/signal, which does not work in virtual time.
// signals_process_test.go sends real signals to real processes.
type fakeSignals struct {
	mu       sync.Mutex
	caught   map[os.Signal]chan<- os.Signal
	ignores  os.Signal
	raised   os.Signal
	raisedAt time.Time
}

func (f *fakeSignals) notify(c chan<- os.Signal, sigs ...os.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, sig := range sigs {
		f.caught[sig] = c
	}
}

func (f *fakeSignals) stop(c chan<- os.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for sig, other := range f.caught {
		if other == c {
			delete(f.caught, sig)
		}
	}
}

func (f *fakeSignals) ignored(sig os.Signal) bool { return sig == f.ignores }

func (f *fakeSignals) raise(sig os.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.raised, f.raisedAt = sig, time.Now()
}

// wasRaised returns the signal that was raised for the operating system, and when; nil if none.
func (f *fakeSignals) wasRaised() (os.Signal, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.raised, f.raisedAt
}

func (f *fakeSignals) isCaught(sig os.Signal) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.caught[sig] != nil
}

// send does what the operating system does when sig is sent.
func (f *fakeSignals) send(sig os.Signal) {
	f.mu.Lock()
	c := f.caught[sig]
	f.mu.Unlock()
	if c != nil {
		c <- sig
	}
	synctest.Wait()
}

func signalled(t *testing.T, table map[os.Signal]Action, do func(m *Manager, f *fakeSignals)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e, f := fakeEnv(), &fakeSignals{caught: make(map[os.Signal]chan<- os.Signal), ignores: syscall.SIGQUIT}
		e.signals = f
		m, err := newManager(Config{Signals: table, Logger: slog.New(slog.DiscardHandler)}, e)
		require.NoError(t, err)
		do(m, f)
		m.Begin(nil)
		_ = m.Wait()
		time.Sleep(time.Second)
		for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt, syscall.SIGHUP} {
			require.False(t, f.isCaught(sig), "no signal is caught any more")
		}
	})
}

func TestASignalThatIsIgnoredAtTheStartIsNotCaught(t *testing.T) {
	signalled(t, map[os.Signal]Action{syscall.SIGQUIT: Graceful, syscall.SIGTERM: Graceful}, func(m *Manager, f *fakeSignals) {
		require.False(t, f.isCaught(syscall.SIGQUIT))
		require.True(t, f.isCaught(syscall.SIGTERM))
	})
}

func TestASecondInterruptForcesOnlyHalfASecondLater(t *testing.T) {
	signalled(t, nil, func(m *Manager, f *fakeSignals) {
		_, _ = m.Track("long work")
		f.send(os.Interrupt)
		require.NotEqual(t, Running, m.Phase())
		for range 4 { // within half a second of each other they count as one press
			time.Sleep(100 * time.Millisecond)
			f.send(os.Interrupt)
			require.NoError(t, m.Report().Forced)
		}
		time.Sleep(100 * time.Millisecond)
		f.send(os.Interrupt)
		require.Error(t, m.Report().Forced)
		require.Equal(t, 130, ExitCode(m.Wait()))
		nothing, _ := f.wasRaised()
		require.Nil(t, nothing)
	})
}

func TestAfterASIGTERMOneInterruptForces(t *testing.T) {
	signalled(t, nil, func(m *Manager, f *fakeSignals) {
		_, _ = m.Track("long work")
		f.send(syscall.SIGTERM)
		time.Sleep(400 * time.Millisecond)
		f.send(os.Interrupt)
		require.NoError(t, m.Report().Forced, "a wrapper that passes Ctrl-C on as SIGTERM sends two signals for one press")
		time.Sleep(200 * time.Millisecond)
		f.send(os.Interrupt)
		require.Error(t, m.Report().Forced)
		require.Equal(t, 130, ExitCode(m.Wait()))
	})
	signalled(t, nil, func(m *Manager, f *fakeSignals) {
		_, _ = m.Track("long work")
		m.On(Close, "hangs", func(ctx context.Context) error { <-ctx.Done(); return nil })
		f.send(syscall.SIGTERM)
		time.Sleep(time.Second)
		f.send(os.Interrupt)
		require.Error(t, m.Report().Forced)
		time.Sleep(time.Second)
		f.send(os.Interrupt)
		raised, _ := f.wasRaised()
		require.Equal(t, os.Interrupt, raised, "one more ends the process")
	})
	signalled(t, nil, func(m *Manager, f *fakeSignals) { // the control: the shutdown was not begun by a signal
		_, _ = m.Track("long work")
		m.Begin(nil)
		time.Sleep(time.Second)
		f.send(os.Interrupt)
		require.NoError(t, m.Report().Forced)
	})
}

func TestAtATerminalTheLogSaysWhatCtrlCDoes(t *testing.T) {
	for name, terminal := range map[string]bool{"terminal": true, "none": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log testlog.Buffer
				e := fakeEnv()
				e.grace.Terminal = func() bool { return terminal }
				m, err := newManager(Config{Signals: NoSignals(), Logger: slog.New(slog.NewTextHandler(&log, nil))}, e)
				require.NoError(t, err)
				_, _ = m.Track("long work")
				m.Signal(os.Interrupt)
				synctest.Wait()
				require.Equal(t, terminal, strings.Contains(log.String(), "Ctrl-C again forces the end"))
				time.Sleep(100 * time.Millisecond)
				m.Signal(os.Interrupt)
				synctest.Wait()
				require.Equal(t, terminal, strings.Contains(log.String(), "is taken as the same press"))
				time.Sleep(time.Second)
				m.Signal(os.Interrupt)
				require.ErrorIs(t, m.Wait(), ErrForced)
				if terminal {
					require.Equal(t, 10*time.Second, m.Report().GracePeriod)
					require.Equal(t, "guessed: a terminal", m.Report().GraceSource)
					require.NotContains(t, log.String(), "SHUTDOWN_GRACE_PERIOD", "no platform kills a program at a terminal")
				} else {
					require.Equal(t, 30*time.Second, m.Report().GracePeriod)
				}
			})
		})
	}
}

func TestAtATerminalCtrlCAfterAnotherCauseIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log testlog.Buffer
		e := fakeEnv()
		e.grace.Terminal = func() bool { return true }
		m, err := newManager(Config{Signals: NoSignals(), Logger: slog.New(slog.NewTextHandler(&log, nil))}, e)
		require.NoError(t, err)
		_, _ = m.Track("long work")
		m.Begin(errors.New("a worker has failed"))
		time.Sleep(time.Second)
		m.Signal(os.Interrupt)
		synctest.Wait()
		require.Contains(t, log.String(), "Ctrl-C again forces the end")
		time.Sleep(time.Second)
		m.Signal(os.Interrupt)
		require.ErrorIs(t, m.Wait(), ErrForced)
	})
}

func TestAtATerminalASIGTERMSaysNothingOfCtrlC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log testlog.Buffer
		e := fakeEnv()
		e.grace.Terminal = func() bool { return true }
		m, err := newManager(Config{Signals: NoSignals(), Logger: slog.New(slog.NewTextHandler(&log, nil))}, e)
		require.NoError(t, err)
		m.Signal(syscall.SIGTERM)
		require.NoError(t, m.Wait())
		require.NotContains(t, log.String(), "Ctrl-C")
	})
}

func TestEachSignalRunsItsActionOnce(t *testing.T) {
	var ran []os.Signal
	action := func(_ *Manager, sig os.Signal) { ran = append(ran, sig) }
	signalled(t, map[os.Signal]Action{syscall.SIGHUP: action, os.Interrupt: action}, func(_ *Manager, f *fakeSignals) {
		sent := []os.Signal{syscall.SIGHUP, os.Interrupt, syscall.SIGHUP, syscall.SIGHUP}
		for _, sig := range sent {
			f.send(sig)
		}
		require.Equal(t, sent, ran)
	})
}

func TestAThirdInterruptIsLeftToTheOperatingSystem(t *testing.T) {
	signalled(t, nil, func(m *Manager, f *fakeSignals) {
		release := make(chan struct{})
		defer close(release)
		m.On(Close, "stuck", func(context.Context) error { <-release; return nil })
		for range 2 {
			f.send(os.Interrupt)
			time.Sleep(600 * time.Millisecond)
		}
		nothing, _ := f.wasRaised()
		require.Nil(t, nothing)
		f.send(os.Interrupt)
		raised, _ := f.wasRaised()
		require.Equal(t, os.Interrupt, raised)
		require.False(t, f.isCaught(syscall.SIGTERM))
	})
}

func TestARepeatedSIGTERMDoesNotCutAGracefulShutdownShort(t *testing.T) {
	signalled(t, map[os.Signal]Action{syscall.SIGHUP: Graceful, syscall.SIGTERM: Immediate}, func(m *Manager, f *fakeSignals) {
		done, _ := m.Track("work")
		f.send(syscall.SIGHUP)
		for range 3 {
			time.Sleep(time.Second)
			f.send(syscall.SIGTERM)
			f.send(syscall.SIGHUP)
		}
		done()
		require.NoError(t, m.Wait())
		require.Equal(t, 3*time.Second, m.Report().Took)
	})
	signalled(t, map[os.Signal]Action{syscall.SIGTERM: Immediate}, func(m *Manager, f *fakeSignals) {
		_, _ = m.Track("work")
		f.send(syscall.SIGTERM)
		require.Equal(t, 143, ExitCode(m.Wait()))
		require.LessOrEqual(t, m.Report().Took, 200*time.Millisecond)
	})
}

func TestAMainThatNeverCallsWaitIsEndedByTheSignalAtTheTimeout(t *testing.T) {
	signalled(t, nil, func(m *Manager, f *fakeSignals) {
		closed := time.Time{}
		m.On(Close, "db", func(context.Context) error { closed = time.Now(); return nil })
		f.send(syscall.SIGTERM)
		time.Sleep(time.Minute)
		require.Equal(t, m.Report().Begun, closed, "hooks do not wait for main")
		raised, at := f.wasRaised()
		require.Equal(t, syscall.SIGTERM, raised)
		require.Equal(t, m.Report().Begun.Add(27*time.Second), at)
	})
}

func TestAMainThatIsStillStartingHasUntilTheTimeoutToCallWait(t *testing.T) {
	signalled(t, nil, func(m *Manager, f *fakeSignals) {
		f.send(syscall.SIGTERM)
		time.Sleep(20 * time.Second)
		require.Equal(t, Done, m.Phase())
		require.True(t, f.isCaught(syscall.SIGTERM), "one more does not end a program that is still starting")
		require.NoError(t, m.Wait())
		require.True(t, f.isCaught(syscall.SIGTERM), "one more does not change the exit code")
		time.Sleep(time.Second)
		require.False(t, f.isCaught(syscall.SIGTERM))
		nothing, _ := f.wasRaised()
		require.Nil(t, nothing)
	})
}

func TestASignalAfterWaitIsRaisedIfMainHasNotReturned(t *testing.T) {
	signalled(t, nil, func(m *Manager, f *fakeSignals) {
		f.send(syscall.SIGTERM)
		require.NoError(t, m.Wait())
		f.send(syscall.SIGTERM)
		raised, _ := f.wasRaised()
		require.Nil(t, raised)
		time.Sleep(time.Second)
		raised, _ = f.wasRaised()
		require.Equal(t, syscall.SIGTERM, raised)
	})
}

// The goroutine that reads the signals may not be scheduled from the end of the shutdown until the
// Manager stops catching signals. Here it waits for a lock for that long, in real time, because
// time does not advance in a synctest bubble while a goroutine waits for a mutex. There are 20
// Managers because the bug showed in only half of them.
func TestASignalAfterWaitIsNotLostIfItIsReadLate(t *testing.T) {
	var all sync.WaitGroup
	defer all.Wait()
	for range 20 {
		e, f := fakeEnv(), &fakeSignals{caught: make(map[os.Signal]chan<- os.Signal)}
		e.signals = f
		m, err := newManager(Config{Logger: slog.New(slog.DiscardHandler)}, e)
		require.NoError(t, err)
		all.Go(func() {
			m.signals.mu.Lock()
			m.signals.caught <- syscall.SIGHUP // has no Action
			assert.Eventually(t, func() bool { return len(m.signals.caught) == 0 }, 50*time.Second, time.Millisecond)
			m.Begin(nil)
			_ = m.Wait()
			m.signals.caught <- syscall.SIGTERM
			<-m.signals.released
			m.signals.mu.Unlock()
			m.signals.reading.Wait()
			assert.Equal(t, syscall.SIGTERM, m.signals.after)
		})
	}
}

func TestSIGPIPEIsCaughtFromTheBeginningOfTheShutdown(t *testing.T) {
	signalled(t, nil, func(m *Manager, f *fakeSignals) {
		require.False(t, f.isCaught(syscall.SIGPIPE))
		m.On(Close, "look", func(context.Context) error {
			if !f.isCaught(syscall.SIGPIPE) {
				return errors.New("SIGPIPE is not caught")
			}
			return nil
		})
		m.Begin(nil)
		require.NoError(t, m.Wait())
		time.Sleep(time.Second)
		require.True(t, f.isCaught(syscall.SIGPIPE), "main may still print")
	})
}

func TestAnActionThatPanicsDoesNotStopTheNext(t *testing.T) {
	signalled(t, map[os.Signal]Action{
		syscall.SIGHUP:  func(*Manager, os.Signal) { panic("oh no") },
		syscall.SIGTERM: Graceful,
	}, func(m *Manager, f *fakeSignals) {
		f.send(syscall.SIGHUP)
		f.send(syscall.SIGTERM)
		require.NotEqual(t, Running, m.Phase())
	})
}

func TestSignalDoesWhatTheArrivalOfASignalDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := newManager(Config{Signals: map[os.Signal]Action{}, Logger: slog.New(slog.DiscardHandler)}, fakeEnv())
		require.NoError(t, err)
		m.Signal(syscall.SIGABRT) // has no Action
		synctest.Wait()
		require.Equal(t, Running, m.Phase())
		m.Signal(syscall.SIGTERM) // follows DefaultSignals
		require.NoError(t, m.Wait())
		require.Equal(t, SignalError{syscall.SIGTERM}, m.Report().Cause)
		m.Signal(syscall.SIGTERM)
		synctest.Wait()
	})
}

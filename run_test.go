package shutdown

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/sequence"
)

func runConfig(log io.Writer) Config {
	return Config{GracePeriod: 30 * time.Second, LameDuck: -1, Signals: NoSignals(), Logger: slog.New(slog.NewTextHandler(log, nil))}
}

// runIt calls Run in virtual time. It returns how long Run took, the log, and Run's error.
func runIt(t *testing.T, cfg func(*Config), start func(*Manager) error) (took time.Duration, log string, err error) {
	t.Helper()
	resetDefault(t)
	synctest.Test(t, func(*testing.T) {
		began := time.Now()
		var buffer bytes.Buffer
		c := runConfig(&buffer)
		if cfg != nil {
			cfg(&c)
		}
		err = Run(c, start)
		took = time.Since(began)
		synctest.Wait()
		log = buffer.String()
		time.Sleep(2 * time.Hour) // for what hangs
	})
	return took, log, err
}

func TestRunStartsWaitsAndMakesItsManagerTheDefault(t *testing.T) {
	var order []string
	took, _, err := runIt(t, nil, func(m *Manager) error {
		require.Same(t, m, Default())
		require.Equal(t, "start", m.Tasks()[0].Name, "start is in flight")
		On(Close, "db", func(context.Context) error { order = append(order, "db"); return nil })
		done, ok := Track("GET /")
		require.True(t, ok)
		go func() {
			<-m.Reached(Drain)
			time.Sleep(time.Second)
			order = append(order, "answered")
			done()
		}()
		time.AfterFunc(time.Minute, func() { m.Signal(syscall.SIGTERM) })
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"answered", "db"}, order)
	require.Equal(t, time.Minute+time.Second, took)
}

func TestAnErrorOfStartIsTheCauseAndSkipsTheLameDuck(t *testing.T) {
	refused := errors.New("connection refused")
	closed := false
	took, log, err := runIt(t, func(c *Config) { c.LameDuck = 5 * time.Second }, func(m *Manager) error {
		m.On(Drain, "http", func(context.Context) error { return nil })
		m.On(Close, "db", func(context.Context) error { closed = true; return nil })
		return refused
	})
	require.ErrorIs(t, err, refused)
	require.EqualError(t, err, "shutdown: start: connection refused")
	require.Equal(t, 1, ExitCode(err))
	require.True(t, closed, "what start has opened is closed")
	require.Zero(t, took)
	require.Contains(t, log, `level=ERROR msg="shutdown: started" cause="shutdown: start: connection refused"`, "logged at once")
	require.Contains(t, log, `level=ERROR msg="shutdown: finished with errors"`)
	require.Contains(t, log, `report.workers="start 0s connection refused"`)
}

// Run may call Wait only after the failure has begun the shutdown. If it had called Wait before,
// the failure would be that of a program that serves, and there would be a lame duck.
func TestRunSeesAFailedStartOnlyAfterTheShutdownHasBegun(t *testing.T) {
	m, err := New(runConfig(io.Discard))
	require.NoError(t, err)
	seen := make(chan Phase, 1)
	m.startWorker(&worker{
		name: kindStart, kind: kindStart, ended: func(error) { seen <- m.Phase() },
		run: func(context.Context) error { return io.ErrUnexpectedEOF },
	})
	require.NotEqual(t, Running, <-seen, "it may be later than Leave")
	require.ErrorIs(t, m.Wait(), io.ErrUnexpectedEOF)
}

// The controls for TestAnErrorOfStartIsTheCauseAndSkipsTheLameDuck.
func TestASignalNeverSkipsTheLameDuck(t *testing.T) {
	t.Run("in start", func(t *testing.T) {
		took, _, err := runIt(t, func(c *Config) { c.LameDuck = 5 * time.Second }, func(m *Manager) error {
			m.Signal(syscall.SIGTERM)
			<-m.AcceptContext().Done()
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, 5*time.Second, took)
	})
	t.Run("a worker fails after the start", func(t *testing.T) {
		took, _, err := runIt(t, func(c *Config) { c.LameDuck = 5 * time.Second }, func(m *Manager) error {
			m.Go("consumer", func(context.Context) error { time.Sleep(time.Second); return io.ErrUnexpectedEOF })
			return nil
		})
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Equal(t, 6*time.Second, took)
	})
}

func TestAPanicInStartContinuesAfterTheShutdown(t *testing.T) {
	closed := false
	resetDefault(t)
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			p, ok := recover().(error)
			require.True(t, ok)
			require.ErrorContains(t, p, "panic: boom")
			require.ErrorContains(t, p, "run_test.go", "with its stack")
			require.True(t, closed)
		}()
		_ = Run(runConfig(io.Discard), func(m *Manager) error {
			m.On(Close, "db", func(context.Context) error { closed = true; return nil })
			panic("boom")
		})
	})
}

func TestAGoexitInStartContinuesAfterTheShutdown(t *testing.T) {
	resetDefault(t)
	synctest.Test(t, func(t *testing.T) {
		returned, closed := false, false
		var over sync.WaitGroup
		over.Go(func() {
			_ = Run(runConfig(io.Discard), func(m *Manager) error {
				m.On(Close, "db", func(context.Context) error { closed = true; return nil })
				runtime.Goexit()
				return nil
			})
			returned = true
		})
		over.Wait()
		require.True(t, closed)
		require.False(t, returned)
		require.ErrorIs(t, Wait(), sequence.ErrGoexit)
	})
}

func TestStartIsJudgedAsAWorkerAfterTheBeginning(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(m *Manager) error
		code int
		text string
	}{
		"nil":            {func(*Manager) error { return nil }, 0, ""},
		"a cancellation": {func(m *Manager) error { return m.AcceptContext().Err() }, 0, ""},
		"something else": {func(*Manager) error { return errors.New("connection refused") }, 1, "shutdown: start: connection refused"},
		"late":           {func(m *Manager) error { <-m.WorkContext().Done(); return nil }, 1, "1 task cut off: start"},
		"never":          {func(*Manager) error { time.Sleep(time.Hour); return nil }, 1, "shutdown: start: did not return in time and was abandoned"},
		"never, and forced": {func(m *Manager) error {
			m.Signal(os.Interrupt)
			time.Sleep(time.Second)
			m.Signal(os.Interrupt)
			time.Sleep(time.Hour)
			return nil
		}, 130, "shutdown: start: did not return in time"},
	} {
		t.Run(name, func(t *testing.T) {
			closed := false
			took, log, err := runIt(t, nil, func(m *Manager) error {
				m.On(Close, "db", func(context.Context) error { closed = true; return nil })
				if test.code != 130 {
					m.Signal(syscall.SIGTERM)
					<-m.AcceptContext().Done()
				}
				return test.end(m)
			})
			require.Equal(t, test.code, ExitCode(err), "%v", err)
			require.True(t, closed)
			require.LessOrEqual(t, took, 27*time.Second)
			if test.text != "" {
				require.ErrorContains(t, err, test.text)
			}
			if name == "never" {
				require.ErrorIs(t, err, ErrTimeout)
				require.NotContains(t, log, "nobody has called Wait")
			}
		})
	}
}

func TestRunFailsWithoutCallingStart(t *testing.T) {
	resetDefault(t)
	never := func(*Manager) error { panic("it is not called") }
	var log bytes.Buffer
	require.EqualError(t, Run(runConfig(&log), nil), "shutdown: Run: start is nil")
	require.Contains(t, log.String(), `level=ERROR msg="shutdown: not started" error="shutdown: Run: start is nil"`, "main may only look at the exit code")
	require.ErrorContains(t, Run(Config{GracePeriod: -1}, never), "Config.GracePeriod: -1ns is negative")
	require.Nil(t, defaultManager, "there is no default Manager")
	m, err := New(runConfig(io.Discard))
	require.NoError(t, err)
	SetDefault(m)
	require.ErrorContains(t, Run(runConfig(io.Discard), never), "there is a default Manager already")
	resetDefault(t)
	require.NoError(t, Run(runConfig(io.Discard), func(m *Manager) error { m.Begin(nil); return nil }))
	require.ErrorContains(t, Run(runConfig(io.Discard), never), "there is a default Manager already", "once")
}

func TestRunDoesNotCallStartIfASignalHasArrived(t *testing.T) {
	m, err := New(runConfig(io.Discard))
	require.NoError(t, err)
	m.Signal(syscall.SIGTERM)
	<-m.AcceptContext().Done()
	require.NoError(t, m.runStart(func(*Manager) error { panic("it is not called") }))
}

func TestRunReturnsAndRaisesNoSignalIfStartHangs(t *testing.T) {
	for name, run := range map[string]bool{"Run": true, "nobody calls Wait": false} {
		t.Run(name, func(t *testing.T) {
			signalled(t, nil, func(m *Manager, f *fakeSignals) {
				if run {
					go func() { _ = m.runStart(func(*Manager) error { time.Sleep(time.Hour); return nil }) }()
					synctest.Wait()
				}
				f.send(syscall.SIGTERM)
				time.Sleep(2 * time.Hour)
				raised, _ := f.wasRaised()
				if run {
					require.Nil(t, raised)
				} else {
					require.Equal(t, syscall.SIGTERM, raised, "the control")
				}
			})
		})
	}
}

// Track around request handlers: in a pod, which has a lame duck, and at a terminal.
func TestTrackUnderRunAdmitsWorkUntilTheDrainHasEnded(t *testing.T) {
	for name, test := range map[string]struct {
		env      map[string]string
		sig      os.Signal
		lameDuck time.Duration
	}{
		"SIGTERM in Kubernetes": {map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, syscall.SIGTERM, 5 * time.Second},
		"Ctrl-C":                {map[string]string{"KUBERNETES_SERVICE_HOST": ""}, os.Interrupt, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range test.env {
				t.Setenv(key, value)
			}
			var refusedIn Phase
			admitted := 0
			const drain = 2 * time.Second
			took, _, err := runIt(t, func(c *Config) { c.LameDuck = 0 }, func(m *Manager) error {
				m.On(Drain, "http", func(context.Context) error { time.Sleep(drain); return nil })
				m.On(Close, "db", func(context.Context) error { time.Sleep(time.Second); return nil })
				go func() {
					for {
						done, ok := Track("GET /")
						if !ok {
							refusedIn = m.Phase()
							return
						}
						admitted++
						time.Sleep(10 * time.Millisecond)
						done()
						synctest.Wait() // lets the drain see that nothing is in flight
					}
				}()
				time.AfterFunc(time.Second, func() { m.Signal(test.sig) })
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, Close, refusedIn)
			require.Greater(t, admitted, 100*int((time.Second+test.lameDuck+drain).Seconds())-10)
			require.InDelta(t, (2*time.Second + test.lameDuck + drain).Seconds(), took.Seconds(), 0.1)
		})
	}
}

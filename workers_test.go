package shutdown_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

func TestJobsEndTheProgramWhenTheLastReturnsOrOneFails(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(m *shutdown.Manager)
		took time.Duration
		text string // of Wait's error; "" is nil
	}{
		"the last one ends the program": {func(m *shutdown.Manager) {
			for i := range 3 {
				m.Job("import", func(context.Context) error { time.Sleep(time.Duration(i+1) * time.Minute); return nil })
			}
		}, 3 * time.Minute, ""},
		"one that fails ends it at once": {func(m *shutdown.Manager) {
			m.Job("import", func(context.Context) error { time.Sleep(time.Minute); return errors.New("row 17: bad date") })
			m.Job("index", func(ctx context.Context) error { <-ctx.Done(); return nil })
		}, time.Minute, "shutdown: job \"import\": row 17: bad date"},
		"a job that ends before Wait": {func(m *shutdown.Manager) {
			m.Job("import", func(context.Context) error { return nil })
			time.Sleep(time.Minute)
			require.Equal(t, shutdown.Running, m.Phase())
		}, time.Minute, ""},
		"one that is given after the beginning": {func(m *shutdown.Manager) {
			m.Begin(nil)
			m.Job("import", func(context.Context) error { panic("it is not called") })
		}, 0, "shutdown: job \"import\": not started: the shutdown had begun"},
		"a panic": {func(m *shutdown.Manager) {
			m.Job("import", func(context.Context) error { panic("boom") })
		}, 0, "shutdown: job \"import\": panic: boom"},
		"one that is told to stop and returns nil": {func(m *shutdown.Manager) {
			m.Job("import", func(ctx context.Context) error { <-ctx.Done(); return nil })
			m.Signal(os.Interrupt)
		}, 0, ""},
		"one that is told to stop and returns an error": {func(m *shutdown.Manager) {
			m.Job("import", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			m.Signal(os.Interrupt)
		}, 0, "shutdown: job \"import\": did not finish: context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, _ := newManager(t, shutdown.Config{})
				began := time.Now()
				test.do(m)
				err := m.Wait()
				require.Equal(t, test.took, time.Since(began))
				if test.text == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, test.text)
				require.Equal(t, 1, shutdown.ExitCode(err))
				var failed *shutdown.HookError
				require.ErrorAs(t, err, &failed)
				require.Equal(t, shutdown.Running, failed.Phase)
			})
		})
	}
	m, _ := newManager(t, shutdown.Config{})
	require.PanicsWithValue(t, "shutdown: Job(\"import\"): run is nil", func() { m.Job("import", nil) })
}

func TestAWorkerThatFailsBeginsTheShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		boom := errors.New("boom")
		m.Go("consumer", func(context.Context) error { time.Sleep(time.Minute); return boom })
		require.Equal(t, "consumer", m.Tasks()[0].Name, "a worker is in flight")
		err := m.Wait()
		var failed *shutdown.HookError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, shutdown.HookError{Phase: shutdown.Running, Name: "consumer", Err: boom}, *failed)
		require.Equal(t, 1, strings.Count(err.Error(), "boom"), "once")
	})
}

func TestAWorkerMayReturnNilOrACancellationAfterTheBeginning(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		code int
	}{"nil": {nil, 0}, "canceled": {context.Canceled, 0}, "anything else": {errors.New("half done"), 1}, "a panic": {nil, 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, _ := newManager(t, shutdown.Config{})
				m.Go("job", func(ctx context.Context) error {
					<-ctx.Done()
					time.Sleep(time.Second)
					if name == "a panic" {
						panic(name)
					}
					return test.err
				})
				time.Sleep(time.Minute)
				m.Begin(nil)
				err := m.Wait()
				require.Equal(t, test.code, shutdown.ExitCode(err))
				require.Equal(t, time.Second, m.Report().Took, "it is waited for")
			})
		})
	}
}

func TestAWorkerThatReturnsNilDoesNotBeginTheShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		m.Go("migration", func(context.Context) error { return nil })
		time.Sleep(time.Hour)
		require.Equal(t, shutdown.Running, m.Phase())
		require.Empty(t, m.Tasks())
		m.Begin(nil)
		require.NoError(t, m.Wait())
	})
}

func TestGoDoesNothingOnceTheShutdownHasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		done, _ := m.Track("keeps the drain open")
		m.Begin(nil)
		m.Go("late", func(context.Context) error { panic("never called") })
		done()
		require.NoError(t, m.Wait())
		require.Panics(t, func() { m.Go("nil", nil) })
	})
}

package otelshutdown_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	nooptrace "go.opentelemetry.io/otel/trace/noop"

	"github.com/gracefulgo/shutdown"
	otelshutdown "github.com/gracefulgo/shutdown/otel"
)

func TestStartReturnsAnErrorIfTheExportWouldNotBeTheLastCloseHook(t *testing.T) {
	m := newManager(t, shutdown.Config{})
	remove := m.On(shutdown.Close, "db", sleep(0, nil))
	o := newTelemetry()
	require.EqualError(t, otelshutdown.Start(m, o.options()),
		`otelshutdown: the close hook "db" has been registered before Start, and would run after the export: call Start first`)
	require.Empty(t, o.metrics(t), "nothing is registered")
	require.True(t, remove())
	require.Empty(t, m.Report().Pending)

	m.On(shutdown.Drain, "http :8080", sleep(0, nil)) // which does not matter
	require.NoError(t, otelshutdown.Start(m, o.options()))
	require.EqualError(t, otelshutdown.Start(m, o.options()),
		`otelshutdown: the close hook "otel" has been registered before Start, and would run after the export: call Start first`)
	m.Begin(nil)
	require.NoError(t, m.Wait())
}

func TestStartReturnsAnErrorThatNamesAnInvalidField(t *testing.T) {
	m := newManager(t, shutdown.Config{})
	require.EqualError(t, otelshutdown.Start(m, otelshutdown.Options{Limit: -time.Second}),
		"otelshutdown: Options.Limit is -1s: it must not be negative, and zero means 2s")
	require.Empty(t, m.Report().Pending)
}

func TestStartReturnsAnErrorIfTheShutdownHasBegun(t *testing.T) {
	m := newManager(t, shutdown.Config{})
	boom := errors.New("boom")
	m.Begin(boom)
	require.ErrorIs(t, otelshutdown.Start(m, otelshutdown.Options{}), boom)
	_ = m.Wait()
	require.ErrorIs(t, otelshutdown.Start(m, otelshutdown.Options{}), boom)
}

// A provider of a program without telemetry has nothing to flush.
func TestProvidersWithoutShutdownDoNotFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{})
		require.NoError(t, otelshutdown.Start(m, otelshutdown.Options{MeterProvider: noopmetric.NewMeterProvider(), TracerProvider: nooptrace.NewTracerProvider()}))
		m.Begin(nil)
		require.NoError(t, m.Wait())
		require.Zero(t, m.Report().Took)
	})
}

func TestTheGlobalProvidersAreTheDefault(t *testing.T) { testGlobalProviders(t, false) }

// Only the first provider that a process sets gets the instruments that were made before,
// so the test has a process of its own.
func TestTheGlobalProvidersMayBeSetAfterStart(t *testing.T) {
	if os.Getenv("TEST_SET_LATER") != "" {
		testGlobalProviders(t, true)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "TEST_SET_LATER=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "--- PASS: "+t.Name())
}

func testGlobalProviders(t *testing.T, later bool) {
	mp, tp := otel.GetMeterProvider(), otel.GetTracerProvider()
	defer func() { otel.SetMeterProvider(mp); otel.SetTracerProvider(tp) }()
	o := newTelemetry()
	m := newManager(t, shutdown.Config{})
	set := func() { otel.SetMeterProvider(o.mp); otel.SetTracerProvider(o.tp) }
	if !later {
		set()
	}
	require.NoError(t, otelshutdown.Start(m, otelshutdown.Options{}))
	if later {
		set()
	}
	done, _ := m.Track("import")
	require.Equal(t, "tasks.in_flight kind=track 1\n", o.metrics(t))
	done()
	m.Begin(nil)
	require.NoError(t, m.Wait())
	require.Contains(t, o.pushed.last, "duration result=finished")
	require.Equal(t, "shutdown", o.root(t).Name)
}

func TestTheGlobalProvidersAreNotUsedIfOthersAreGiven(t *testing.T) {
	mp, tp := otel.GetMeterProvider(), otel.GetTracerProvider()
	defer func() { otel.SetMeterProvider(mp); otel.SetTracerProvider(tp) }()
	global, given := newTelemetry(), newTelemetry()
	otel.SetMeterProvider(global.mp)
	otel.SetTracerProvider(global.tp)
	m := newManager(t, shutdown.Config{})
	require.NoError(t, otelshutdown.Start(m, given.options()))
	m.Begin(nil)
	require.NoError(t, m.Wait())
	require.NotEmpty(t, given.spans.GetSpans())
	require.NotEmpty(t, given.pushed.last)
	require.Empty(t, global.metrics(t), "and it is not shut down")
	require.NoError(t, global.mp.Shutdown(t.Context()))
	require.NoError(t, global.tp.Shutdown(t.Context()))
	require.Empty(t, global.spans.GetSpans())
}

// Hooks that are registered after Start run before the export, also if they are registered
// during Close, and the trace has them all.
func TestTheExportIsTheLastCloseHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newTelemetry()
		m := newManager(t, shutdown.Config{})
		require.NoError(t, otelshutdown.Start(m, o.options()))
		for _, name := range []string{"db", "cache", "queue"} {
			m.On(shutdown.Close, name, func(context.Context) error {
				if name == "cache" {
					m.On(shutdown.Close, "late", sleep(time.Second, nil))
				}
				time.Sleep(time.Second)
				return nil
			})
		}
		m.Begin(nil)
		require.NoError(t, m.Wait())
		require.Equal(t, `shutdown 0s-4s
  leave 0s-0s
  drain 0s-0s
  close 0s-4s
    close queue 0s-1s
    close cache 1s-2s
    close late 2s-3s
    close db 3s-4s
`, o.traceText(t))
		steps := m.Report().Steps
		require.Equal(t, "otel", steps[len(steps)-1].Name)
	})
}

func TestTheLastRunIsExportedByResult(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	metricsOf := func(m *shutdown.Manager) string {
		o := newTelemetry()
		require.NoError(t, otelshutdown.Start(m, o.options()))
		text := o.metrics(t)
		m.Begin(nil)
		require.NoError(t, m.Wait())
		require.Contains(t, o.pushed.last, text, "until the end")
		return text
	}
	require.Empty(t, metricsOf(newManager(t, shutdown.Config{})), "no record is kept")
	require.Empty(t, metricsOf(newManager(t, shutdown.Config{Record: path})), "there was no last run")

	m := newManager(t, shutdown.Config{Record: path})
	require.Regexp(t, `^last_run.duration result=finished 0\.\d+s\n$`, metricsOf(m))

	m = newManager(t, shutdown.Config{Record: path})
	done, _ := m.TrackAs("http", "GET /orders/17")
	m.On(shutdown.Leave, "server", func(context.Context) error {
		m.AddTraffic(shutdown.Traffic{Kind: "http", RequestsWhileLeaving: 3, ConnectionsClosed: 2})
		return nil
	})
	m.On(shutdown.Drain, "force", func(context.Context) error { m.Force(nil); <-m.WorkContext().Done(); return nil })
	m.Begin(nil)
	require.ErrorIs(t, m.Wait(), shutdown.ErrForced)
	done()
	record, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Regexp(t, `^last_run.connections_closed kind=http 2
last_run.cut_off kind=http 1
last_run.duration result=forced 0\.\d+s
last_run.requests_while_leaving kind=http 3\n$`, metricsOf(newManager(t, shutdown.Config{Record: path})))

	// As if another process had been killed in drain.
	killed := regexp.MustCompile(`"pid":\d+`).ReplaceAll(record, []byte(`"pid":1`))
	killed = regexp.MustCompile(`"process_start":\d+`).ReplaceAll(killed, []byte(`"process_start":1`))
	killed = regexp.MustCompile(`"phase":"done","result":"forced"`).ReplaceAll(killed, []byte(`"phase":"drain"`))
	require.NoError(t, os.WriteFile(path, killed, 0o600))
	require.Regexp(t, `^last_run.connections_closed kind=http 2
last_run.cut_off kind=http 1
last_run.duration result=killed in drain 0\.\d+s
last_run.requests_while_leaving kind=http 3\n$`, metricsOf(newManager(t, shutdown.Config{Record: path})))
}

package otelshutdown_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"

	"github.com/gracefulgo/shutdown"
	otelshutdown "github.com/gracefulgo/shutdown/otel"
)

// A collector is what both providers export to. send is called for each export.
type collector struct {
	pushed
	send func(context.Context) error
}

func (c *collector) Export(ctx context.Context, _ *metricdata.ResourceMetrics) error {
	return c.send(ctx)
}

type spanCollector struct{ *collector }

func (c spanCollector) ExportSpans(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
	return c.send(ctx)
}

func (c *collector) meters() *sdkmetric.MeterProvider {
	return sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(c, sdkmetric.WithInterval(10*time.Hour))))
}

func (c *collector) traces() *sdktrace.TracerProvider {
	return sdktrace.NewTracerProvider(sdktrace.WithBatcher(spanCollector{c}))
}

func TestACollectorThatIsDownCostsItsLimitAndNoExitCode(t *testing.T) {
	for name, test := range map[string]struct {
		send  func(context.Context) error
		limit time.Duration
		took  time.Duration
		text  string // of the WARN
	}{
		"refuses":              {func(context.Context) error { return errors.New("connection refused") }, 0, 0, "connection refused"},
		"hangs":                {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 0, 1800 * time.Millisecond, "deadline exceeded"},
		"hangs for longer":     {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 10 * time.Second, 0, ""},
		"ignores its context":  {func(context.Context) error { time.Sleep(time.Hour); return nil }, time.Second, time.Second, ""},
		"panics with a metric": {func(context.Context) error { panic("boom") }, time.Second, 0, "panic: boom"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				m := newManager(t, shutdown.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				c := &collector{send: test.send}
				o := otelshutdown.Options{MeterProvider: c.meters(), TracerProvider: nooptrace.NewTracerProvider(), Limit: test.limit}
				if name != "panics with a metric" { // the SDK exports spans on a goroutine of its own
					o.TracerProvider = c.traces()
				}
				require.NoError(t, otelshutdown.Start(m, o))
				m.On(shutdown.Close, "db", sleep(time.Second, nil))
				m.Begin(nil)
				err := m.Wait()
				require.NoError(t, err)
				require.Zero(t, shutdown.ExitCode(err))
				require.LessOrEqual(t, m.Report().Took, time.Second+max(test.took, test.limit))
				if test.text != "" {
					require.Equal(t, time.Second+test.took, m.Report().Took)
					require.Contains(t, log.String(), "level=WARN msg=\"shutdown: failed, which does not count (best effort)\"")
					require.Contains(t, log.String(), test.text)
				}
				require.Equal(t, "finished", m.Report().Result())
				time.Sleep(3 * time.Hour)
			})
		})
	}
}

// Without the limit, the same collector takes all the time that is left and fails the
// shutdown.
func TestWithoutTheLibraryACollectorThatHangsFailsTheShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{})
		c := &collector{send: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		tp := c.traces()
		m.On(shutdown.Close, "otel", func(ctx context.Context) error {
			_, span := tp.Tracer("x").Start(ctx, "shutdown")
			span.End()
			return tp.Shutdown(ctx)
		})
		m.Begin(nil)
		require.Error(t, m.Wait())
		require.Greater(t, m.Report().Took, 20*time.Second)
		time.Sleep(3 * time.Hour)
	})
}

// Both exports begin at once, so a collector of traces that hangs does not keep metrics
// from being exported.
func TestACollectorOfTracesThatHangsDoesNotDelayTheMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{})
		good := newTelemetry()
		require.NoError(t, good.tp.Shutdown(t.Context())) // not used
		bad := &collector{send: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		require.NoError(t, otelshutdown.Start(m, otelshutdown.Options{MeterProvider: good.mp, TracerProvider: bad.traces()}))
		m.Begin(nil)
		require.NoError(t, m.Wait())
		require.Contains(t, good.pushed.last, "duration result=finished 0s")
		time.Sleep(3 * time.Hour)
	})
}

// In a timeout the other Close hooks leave half a second for the export.
func TestAfterATimeoutADeadCollectorHasTheTimeThatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(t, shutdown.Config{})
		var exports atomic.Int32
		c := &collector{send: func(ctx context.Context) error { exports.Add(1); <-ctx.Done(); return ctx.Err() }}
		require.NoError(t, otelshutdown.Start(m, otelshutdown.Options{MeterProvider: noopmetric.NewMeterProvider(), TracerProvider: c.traces()}))
		m.On(shutdown.Close, "db", sleep(time.Hour, nil))
		_, _ = m.Track("import")
		m.Begin(nil)
		require.ErrorIs(t, m.Wait(), shutdown.ErrTimeout)
		require.LessOrEqual(t, m.Report().Took, 27*time.Second)
		require.EqualValues(t, 1, exports.Load())
		time.Sleep(3 * time.Hour)
	})
}

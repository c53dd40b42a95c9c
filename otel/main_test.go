package otelshutdown_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/leaks"
	otelshutdown "github.com/gracefulgo/shutdown/otel"
)

func TestMain(m *testing.M) {
	// The tests do not depend on the grace period of the environment.
	for _, key := range []string{"KUBERNETES_SERVICE_HOST", "SHUTDOWN_GRACE_PERIOD", "SHUTDOWN_LAME_DUCK", "SHUTDOWN_PRESTOP"} {
		_ = os.Unsetenv(key)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {})) // exporters log to it
	goleak.VerifyTestMain(leaks.Patient(m, goleak.Find))
}

// newManager has a timeout of 27 s, of which Close has 5.4 s.
func newManager(t testing.TB, cfg shutdown.Config) *shutdown.Manager {
	t.Helper()
	cfg.Signals = shutdown.NoSignals()
	cfg.GracePeriod = 30 * time.Second
	if cfg.LameDuck == 0 {
		cfg.LameDuck = -1
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := shutdown.New(cfg)
	require.NoError(t, err)
	return m
}

// A telemetry is a pair of providers that export to memory. Metrics can be scraped, too.
type telemetry struct {
	mp     *sdkmetric.MeterProvider
	tp     *sdktrace.TracerProvider
	scrape *sdkmetric.ManualReader
	pushed pushed
	spans  *tracetest.InMemoryExporter
}

func newTelemetry() *telemetry {
	o := &telemetry{scrape: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	o.mp = sdkmetric.NewMeterProvider(sdkmetric.WithReader(o.scrape), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(&o.pushed, sdkmetric.WithInterval(time.Hour))))
	o.tp = sdktrace.NewTracerProvider(sdktrace.WithBatcher(keep{o.spans}))
	return o
}

func (o *telemetry) options() otelshutdown.Options {
	return otelshutdown.Options{MeterProvider: o.mp, TracerProvider: o.tp}
}

// A keep is an exporter that keeps its spans after Shutdown.
type keep struct{ *tracetest.InMemoryExporter }

func (keep) Shutdown(context.Context) error { return nil }

// pushed is a push exporter that keeps the last push.
type pushed struct{ last string }

func (*pushed) Temporality(k sdkmetric.InstrumentKind) metricdata.Temporality {
	return sdkmetric.DefaultTemporalitySelector(k)
}

func (*pushed) Aggregation(k sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	return sdkmetric.DefaultAggregationSelector(k)
}
func (p *pushed) Export(_ context.Context, m *metricdata.ResourceMetrics) error {
	p.last = metricsText(m)
	return nil
}
func (*pushed) ForceFlush(context.Context) error { return nil }
func (*pushed) Shutdown(context.Context) error   { return nil }

func (o *telemetry) metrics(t testing.TB) string {
	t.Helper()
	var m metricdata.ResourceMetrics
	require.NoError(t, o.scrape.Collect(context.Background(), &m))
	return metricsText(&m)
}

// metricsText has a line for each data point, sorted, without the common prefix of names.
func metricsText(m *metricdata.ResourceMetrics) string {
	var lines []string
	add := func(name string, attributes attribute.Set, value any) {
		line := strings.TrimPrefix(name, "shutdown.") + attributesText(attributes.ToSlice())
		lines = append(lines, fmt.Sprintf("%s %v\n", line, value))
	}
	for _, s := range m.ScopeMetrics {
		for _, m := range s.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, seconds(p.Value))
				}
			default:
				panic(fmt.Sprintf("%s is a %T", m.Name, data))
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func seconds(s float64) string { return strconv.FormatFloat(s, 'f', -1, 64) + "s" }

// attributesText is " name=x result=finished".
func attributesText(list []attribute.KeyValue) (text string) {
	for _, a := range list {
		key := strings.TrimPrefix(string(a.Key), "shutdown.")
		text += fmt.Sprintf(" %s=%s", key, a.Value.String())
	}
	return text
}

// traceText has a line for each span, a child below its parent: from when to when, the
// status, and events.
func (o *telemetry) traceText(t testing.TB) string {
	t.Helper()
	spans := o.spans.GetSpans()
	var text strings.Builder
	var begun time.Time
	var add func(parent tracetest.SpanStub, indent string)
	lines := 0
	add = func(parent tracetest.SpanStub, indent string) {
		for _, s := range spans {
			if s.Parent.SpanID() != parent.SpanContext.SpanID() {
				continue
			}
			if !parent.SpanContext.IsValid() {
				begun = s.StartTime
			} else {
				require.Equal(t, parent.SpanContext.TraceID(), s.SpanContext.TraceID())
			}
			lines++
			fmt.Fprintf(&text, "%s%s %v-%v", indent, s.Name, s.StartTime.Sub(begun), s.EndTime.Sub(begun))
			if s.Status.Code != codes.Unset {
				fmt.Fprintf(&text, " %v: %s", s.Status.Code, s.Status.Description)
			}
			text.WriteString("\n")
			for _, e := range s.Events {
				fmt.Fprintf(&text, "%s* %s %v%s\n", indent, e.Name, e.Time.Sub(begun), attributesText(e.Attributes))
			}
			add(s, indent+"  ")
		}
	}
	add(tracetest.SpanStub{}, "")
	require.Len(t, spans, lines, "every span is below the root")
	return text.String()
}

func (o *telemetry) root(t testing.TB) tracetest.SpanStub {
	t.Helper()
	for _, s := range o.spans.GetSpans() {
		if !s.Parent.IsValid() {
			return s
		}
	}
	require.Fail(t, "no root span")
	return tracetest.SpanStub{}
}

// sleep is a hook that takes d and returns err.
func sleep(d time.Duration, err error) func(context.Context) error {
	return func(context.Context) error { time.Sleep(d); return err }
}

package otelshutdown

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/gracefulgo/shutdown"
)

const (
	scope        = "github.com/gracefulgo/shutdown/otel"
	hookName     = "otel"
	defaultLimit = 2 * time.Second
)

// Options say where the metrics and the trace go. The zero value uses the global providers.
type Options struct {
	// MeterProvider makes the instruments. Nil means the global one, which may also be
	// set after Start.
	MeterProvider metric.MeterProvider

	// TracerProvider makes the trace. Nil means the one that is global at the export.
	TracerProvider trace.TracerProvider

	// Limit is how long the export may take, for both providers together. Zero means 2 s.
	// It has at most the time that is left for Close hooks.
	Limit time.Duration
}

// Start registers the metrics of m, and a Close hook "otel" that exports the trace and the
// last metrics, and then shuts down both providers. See the package documentation.
//
// The hook calls Shutdown(context.Context) error of the providers, at the same time. A
// provider without that method, such as a wrapper or one that does nothing, has to be
// flushed by whoever made it. Do not call Shutdown of the providers in another hook: it
// would run before this one, which then exports neither the trace nor the last metrics.
// After Wait, a MeterProvider returns an error for it ("reader is shutdown").
//
// An error of Shutdown, a collector that does not answer included, is a WARN in the log,
// and no part of the error of Wait; see
// [shutdown.BestEffort].
//
// Start returns an error if a Close hook has been registered before, because that would run
// after the export, and its span and its errors would be missing; if it was called before
// with m; if the shutdown has begun; or if Options.Limit is negative. What has to be closed
// after the export is closed after Wait.
//
// Start reads [shutdown.Manager.LastRun], and so waits for the disk for 250 ms at most if
// there is a record. After the end of m the instruments keep their last values until the
// MeterProvider is shut down.
func Start(m *shutdown.Manager, o Options) error {
	if o.Limit < 0 {
		return fmt.Errorf("otelshutdown: Options.Limit is %v: it must not be negative, and zero means %v", o.Limit, defaultLimit)
	}
	if o.Limit == 0 {
		o.Limit = defaultLimit
	}
	if m.Phase() != shutdown.Running {
		<-m.AcceptContext().Done() // it ends a moment after the phase has changed
		return fmt.Errorf("otelshutdown: the shutdown has begun: %w", context.Cause(m.AcceptContext()))
	}
	for _, hook := range m.Report().Pending {
		if hook.Phase == shutdown.Close {
			return fmt.Errorf("otelshutdown: the close hook %q has been registered before Start, and would run after the export: call Start first", hook.Name)
		}
	}
	e := &exporter{m: m, o: o}
	if err := e.register(); err != nil {
		return fmt.Errorf("otelshutdown: register the metrics: %w", err)
	}
	m.On(shutdown.Close, hookName, shutdown.BestEffort(o.Limit, e.export))
	return nil
}

// An exporter exports what a Manager does.
type exporter struct {
	m     *shutdown.Manager
	o     Options
	final atomic.Pointer[shutdown.Report] // what was exported; nil before that

	instruments
	mu    sync.Mutex      // protects what follows
	kinds map[string]bool // that had tasks in flight
}

// report is what is exported: the Report as of now or, after the export, as of then.
func (e *exporter) report() shutdown.Report {
	if r := e.final.Load(); r != nil {
		return *r
	}
	return withoutExport(e.m.Report())
}

// withoutExport removes the hook of the export itself.
func withoutExport(r shutdown.Report) shutdown.Report {
	for i, s := range r.Steps {
		if s.Phase == shutdown.Close && s.Name == hookName && s.Running {
			r.Steps = append(r.Steps[:i], r.Steps[i+1:]...)
			break
		}
	}
	return r
}

// export is the Close hook.
func (e *exporter) export(ctx context.Context) error {
	r := withoutExport(e.m.Report())
	r.Phase = shutdown.Done // for its result: nothing is left that could change it
	e.final.Store(&r)
	tp, mp := e.o.TracerProvider, e.o.MeterProvider
	if tp == nil {
		tp = otel.GetTracerProvider()
	}
	if mp == nil {
		mp = otel.GetMeterProvider()
	}
	record(tp.Tracer(scope), r)

	// At the same time, so that a collector of traces that is down leaves time for metrics.
	var ofMetrics error
	var wg sync.WaitGroup
	wg.Go(func() { ofMetrics = stop(ctx, "MeterProvider", mp) })
	ofTraces := stop(ctx, "TracerProvider", tp)
	wg.Wait()
	return errors.Join(ofTraces, ofMetrics)
}

// stop flushes a provider and shuts it down. A panic is an error, because telemetry should
// not crash a shutdown that has gone well until here.
func stop(ctx context.Context, name string, provider any) (err error) {
	p, ok := provider.(interface{ Shutdown(context.Context) error })
	if !ok {
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: panic: %v", name, r)
		}
	}()
	if err := p.Shutdown(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

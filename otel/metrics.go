package otelshutdown

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/gracefulgo/shutdown"
)

const (
	maxKinds   = 20  // of tasks, each with series of its own
	maxMetered = 100 // hooks, each with series of its own
	maxName    = 100 // bytes of the name of a hook, a kind or a task
	other      = "_OTHER"
)

const (
	keyKind       = attribute.Key("shutdown.kind")
	keyPhase      = attribute.Key("shutdown.phase")
	keyHook       = attribute.Key("shutdown.hook.name")
	keyHookResult = attribute.Key("shutdown.hook.result")
	keyResult     = attribute.Key("shutdown.result")
)

type instruments struct {
	inFlight          metric.Int64ObservableUpDownCounter
	cutOff            metric.Int64ObservableCounter
	requests          metric.Int64ObservableCounter
	connections       metric.Int64ObservableCounter
	phase, hook       metric.Float64ObservableGauge
	duration, lastRun metric.Float64ObservableGauge
	lastCutOff        metric.Int64ObservableGauge
	lastRequests      metric.Int64ObservableGauge
	lastConnections   metric.Int64ObservableGauge
}

// register makes the instruments and registers the callback that observes them.
func (e *exporter) register() error {
	mp := e.o.MeterProvider
	if mp == nil {
		mp = otel.GetMeterProvider()
	}
	meter := mp.Meter(scope)
	var errs []error
	counter := func(name, unit, text string) metric.Int64ObservableCounter {
		c, err := meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return c
	}
	count := func(name, unit, text string) metric.Int64ObservableGauge {
		g, err := meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return g
	}
	seconds := func(name, text string) metric.Float64ObservableGauge {
		g, err := meter.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(text))
		errs = append(errs, err)
		return g
	}
	inFlight, err := meter.Int64ObservableUpDownCounter("shutdown.tasks.in_flight", metric.WithUnit("{task}"), metric.WithDescription("Tasks in flight."))
	e.instruments = instruments{
		inFlight:    inFlight,
		cutOff:      counter("shutdown.tasks.cut_off", "{task}", "Tasks that were in flight when their context ended by the deadline or by force, or began after that."),
		requests:    counter("shutdown.requests_while_leaving", "{request}", "Requests received since the shutdown began."),
		connections: counter("shutdown.connections_closed", "{connection}", "Connections that were closed while servers drained, known of each server when it has drained."),

		phase:    seconds("shutdown.phase.duration", "Duration of the phases that have begun."),
		hook:     seconds("shutdown.hook.duration", "Duration of the hooks that have begun."),
		duration: seconds("shutdown.duration", "Duration of the shutdown until the export, when its result is known."),

		lastRun:         seconds("shutdown.last_run.duration", "Duration of the shutdown of the last run, from its record."),
		lastCutOff:      count("shutdown.last_run.cut_off", "{task}", "Tasks that the last run cut off, at most 256, from its record."),
		lastRequests:    count("shutdown.last_run.requests_while_leaving", "{request}", "Requests that the last run received after its shutdown had begun, from its record."),
		lastConnections: count("shutdown.last_run.connections_closed", "{connection}", "Connections that were closed while the servers of the last run drained, from its record."),
	}
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	i := &e.instruments
	e.kinds = make(map[string]bool)
	last, killed := e.m.LastRun() // here, because a callback must not wait for the disk
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		e.observeInFlight(o)
		if r := e.report(); r.Phase != shutdown.Running {
			e.observeShutdown(o, r)
		}
		if killed || last.Phase == shutdown.Done {
			e.observeLastRun(o, last)
		}
		return nil
	}, i.inFlight, i.cutOff, i.requests, i.connections, i.phase, i.hook, i.duration, i.lastRun, i.lastCutOff, i.lastRequests, i.lastConnections)
	return err
}

// observeInFlight observes each kind that it has seen, also at zero, because a series that
// ends says nothing.
func (e *exporter) observeInFlight(o metric.Observer) {
	tasks := e.m.Tasks()
	e.mu.Lock()
	defer e.mu.Unlock()
	counts := countByKind(tasks, e.kinds)
	for kind := range e.kinds {
		o.ObserveInt64(e.inFlight, int64(counts[kind]), metric.WithAttributes(keyKind.String(kind)))
	}
}

func (e *exporter) observeShutdown(o metric.Observer, r shutdown.Report) {
	for kind, n := range countByKind(r.CutOff, nil) {
		o.ObserveInt64(e.cutOff, int64(n), metric.WithAttributes(keyKind.String(kind)))
	}
	for _, t := range boundTraffic(r.Traffic) {
		kind := metric.WithAttributes(keyKind.String(t.Kind))
		o.ObserveInt64(e.requests, int64(t.RequestsWhileLeaving), kind)
		o.ObserveInt64(e.connections, int64(t.ConnectionsClosed), kind)
	}
	for _, s := range r.Steps {
		if isPhase(s) {
			o.ObserveFloat64(e.phase, s.Took.Seconds(), metric.WithAttributes(keyPhase.String(s.Phase.String())))
		}
	}
	for hook, took := range longest(r.Steps) {
		o.ObserveFloat64(e.hook, took.Seconds(), metric.WithAttributes(
			keyPhase.String(hook.phase.String()), keyHook.String(hook.name), keyHookResult.String(hook.result)))
	}
	if r.Phase == shutdown.Done {
		o.ObserveFloat64(e.duration, r.Took.Seconds(), metric.WithAttributes(keyResult.String(r.Result())))
	}
}

func (e *exporter) observeLastRun(o metric.Observer, last shutdown.Report) {
	result := last.Result()
	if last.Phase != shutdown.Done {
		result = "killed " + result
	}
	o.ObserveFloat64(e.lastRun, last.Took.Seconds(), metric.WithAttributes(keyResult.String(result)))
	for kind, n := range countByKind(last.CutOff, nil) {
		o.ObserveInt64(e.lastCutOff, int64(n), metric.WithAttributes(keyKind.String(kind)))
	}
	for _, t := range boundTraffic(last.Traffic) {
		kind := metric.WithAttributes(keyKind.String(t.Kind))
		o.ObserveInt64(e.lastRequests, int64(t.RequestsWhileLeaving), kind)
		o.ObserveInt64(e.lastConnections, int64(t.ConnectionsClosed), kind)
	}
}

// countByKind counts tasks by kind, and adds their kinds to known, which has at most
// maxKinds and that of all others.
func countByKind(tasks []shutdown.Task, known map[string]bool) map[string]int {
	if known == nil {
		known = make(map[string]bool)
	}
	counts := make(map[string]int)
	for _, t := range tasks {
		counts[boundKind(t.Kind, known)]++
	}
	return counts
}

func boundKind(kind string, known map[string]bool) string {
	if kind == "" {
		kind = "track"
	}
	kind = cut(kind, maxName)
	if !known[kind] && len(known) >= maxKinds {
		kind = other
	}
	known[kind] = true
	return kind
}

func boundTraffic(all []shutdown.Traffic) (bound []shutdown.Traffic) {
	known, at := make(map[string]bool), make(map[string]int)
	for _, t := range all {
		t.Kind = boundKind(t.Kind, known)
		i, ok := at[t.Kind]
		if !ok {
			at[t.Kind], bound = len(bound), append(bound, t)
			continue
		}
		bound[i].RequestsWhileLeaving += t.RequestsWhileLeaving
		bound[i].ConnectionsClosed += t.ConnectionsClosed
	}
	return bound
}

// A hook is what a series has in common.
type hook struct {
	phase        shutdown.Phase
	name, result string
}

// longest returns the longest duration of the hooks with the same attributes.
func longest(steps []shutdown.Step) map[hook]time.Duration {
	took, names := make(map[hook]time.Duration), make(map[string]bool)
	for _, s := range steps {
		if !isHook(s) {
			continue
		}
		name := cut(s.Name, maxName)
		if !names[name] && len(names) >= maxMetered {
			name = other
		}
		names[name] = true
		h := hook{s.Phase, name, hookResult(s)}
		took[h] = max(took[h], s.Took)
	}
	return took
}

// A step without a name is a phase. One with phase Running is a worker or a job that
// failed.
func isPhase(s shutdown.Step) bool { return s.Phase != shutdown.Running && s.Name == "" }
func isHook(s shutdown.Step) bool  { return s.Phase != shutdown.Running && s.Name != "" }

func hookResult(s shutdown.Step) string {
	result := "finished"
	switch {
	case s.Abandoned:
		result = "abandoned"
	case s.Running:
		return "running"
	case s.Err != nil:
		result = "failed"
	}
	if s.BestEffort {
		result += " (best effort)"
	}
	return result
}

// cut makes text valid UTF-8 of at most limit bytes. OTLP refuses everything in a request
// that has other text.
func cut(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit-len("…")] + "…"
	}
	return strings.ToValidUTF8(text, "")
}

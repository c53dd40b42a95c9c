package otelshutdown

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gracefulgo/shutdown"
)

const (
	maxTraced = 256     // hooks that have a span, and failed workers that have an event
	maxTasks  = 5       // names of tasks that were cut off
	maxText   = 2 << 10 // bytes of an error
)

// record makes the trace of r, with the times that r has.
func record(tracer trace.Tracer, r shutdown.Report) {
	end := r.Begun.Add(r.Took)
	attributes := []attribute.KeyValue{ // given to Start, so that a sampler can see them
		keyResult.String(r.Result()),
		attribute.Float64("shutdown.grace_period", r.GracePeriod.Seconds()),
		attribute.Float64("shutdown.timeout", r.Timeout.Seconds()),
	}
	if r.Cause != nil {
		attributes = append(attributes, attribute.String("shutdown.cause", errorText(r.Cause)))
	}
	if r.Forced != nil {
		attributes = append(attributes, attribute.String("shutdown.forced", errorText(r.Forced)))
	}
	ctx, root := tracer.Start(context.Background(), "shutdown", trace.WithNewRoot(), trace.WithTimestamp(r.Begun), trace.WithAttributes(attributes...))
	defer root.End(trace.WithTimestamp(end))
	if result := r.Result(); result != "finished" {
		root.SetStatus(codes.Error, result)
	}
	addCutOff(root, r)
	addWorkers(root, r, end)

	phases := make(map[shutdown.Phase]context.Context)
	for _, s := range r.Steps {
		if isPhase(s) {
			phases[s.Phase] = addStep(ctx, tracer, r.Begun, s)
		}
	}
	hooks := 0
	for _, s := range r.Steps {
		if !isHook(s) {
			continue
		}
		if hooks++; hooks > maxTraced {
			continue
		}
		parent, ok := phases[s.Phase]
		if !ok { // a forced end skips phases, but not their hooks
			parent = ctx
		}
		addStep(parent, tracer, r.Begun, s, keyHook.String(cut(s.Name, maxName)), keyHookResult.String(hookResult(s)))
	}
	if hooks > maxTraced {
		root.SetAttributes(attribute.Int("shutdown.hooks.omitted", hooks-maxTraced))
	}
}

// addStep adds the span of a phase or of a hook, and returns the context of its children.
func addStep(ctx context.Context, tracer trace.Tracer, begun time.Time, s shutdown.Step, attributes ...attribute.KeyValue) context.Context {
	name := s.Phase.String()
	if s.Name != "" {
		name += " " + cut(s.Name, maxName)
	}
	began := begun.Add(s.At)
	attributes = append(attributes, keyPhase.String(s.Phase.String()))
	ctx, span := tracer.Start(ctx, name, trace.WithTimestamp(began), trace.WithAttributes(attributes...))
	defer span.End(trace.WithTimestamp(began.Add(s.Took)))
	switch {
	case s.Err != nil:
		span.SetStatus(codes.Error, errorText(s.Err))
	case s.Abandoned:
		span.SetStatus(codes.Error, "abandoned")
	}
	return ctx
}

// addCutOff says how much was cut off, and names the oldest of it.
func addCutOff(root trace.Span, r shutdown.Report) {
	if len(r.CutOff) == 0 {
		return
	}
	var names []string
	seen := make(map[string]bool)
	for _, t := range r.CutOff {
		if name := cut(t.Name, maxName); !seen[name] && len(names) < maxTasks {
			seen[name], names = true, append(names, name)
		}
	}
	root.AddEvent("work was cut off", trace.WithTimestamp(r.CutOffAt), trace.WithAttributes(
		attribute.Int("shutdown.cut_off.count", len(r.CutOff)),
		attribute.StringSlice("shutdown.cut_off.tasks", names)))
}

// addWorkers says which workers and jobs failed.
func addWorkers(root trace.Span, r shutdown.Report, end time.Time) {
	failed := 0
	for _, s := range r.Steps {
		if s.Phase != shutdown.Running {
			continue
		}
		if failed++; failed > maxTraced {
			break
		}
		kind := s.Kind
		if kind == "" {
			kind = "worker"
		}
		at := r.Begun.Add(s.At + s.Took)
		if at.After(end) {
			at = end
		}
		root.AddEvent(kind+" failed", trace.WithTimestamp(at), trace.WithAttributes(
			keyKind.String(kind),
			attribute.String("shutdown.worker.name", cut(s.Name, maxName)),
			attribute.String("shutdown.worker.error", errorText(s.Err))))
	}
}

// errorText is err's text. Sprint survives an Error method that panics.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return cut(fmt.Sprint(err), maxText)
}

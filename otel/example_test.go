package otelshutdown_test

import (
	"context"
	"fmt"
	"log/slog"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/gracefulgo/shutdown"
	otelshutdown "github.com/gracefulgo/shutdown/otel"
)

func ExampleStart() {
	metrics, spans := &pushed{}, tracetest.NewInMemoryExporter() // in a program: those of OTLP
	telemetry := otelshutdown.Options{
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metrics))),
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithBatcher(keep{spans})),
	}
	start := func(m *shutdown.Manager) error {
		if err := otelshutdown.Start(m, telemetry); err != nil { // first
			return err
		}
		m.On(shutdown.Leave, "registry", func(context.Context) error { return nil })
		m.On(shutdown.Close, "db", func(context.Context) error { return nil })
		m.Job("import", func(context.Context) error { return nil }) // the purpose of this program
		return nil
	}
	err := shutdown.Run(shutdown.Config{Signals: shutdown.NoSignals(), LameDuck: -1, Logger: slog.New(slog.DiscardHandler)}, start)
	fmt.Println(err)
	for _, span := range spans.GetSpans() {
		fmt.Println(span.Name)
	}
	// Output:
	// <nil>
	// leave
	// drain
	// close
	// leave registry
	// close db
	// shutdown
}

// Otlp is a service that pushes metrics and traces to an OpenTelemetry collector. The last
// push says how the shutdown ended, and has its trace. Without a collector the program
// exits with 0 all the same:
//
//	OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 go run ./examples/otel/otlp
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	otelshutdown "github.com/gracefulgo/shutdown/otel"
)

var (
	addr  = flag.String("addr", "localhost:8080", "where to listen")
	limit = flag.Duration("limit", 2*time.Second, "how long the last export may take")
)

func main() {
	flag.Parse()
	err := shutdown.Run(shutdown.Config{}, start)
	fmt.Println(shutdown.Default().Report())
	os.Exit(shutdown.ExitCode(err))
}

func start(m *shutdown.Manager) error {
	// The exporters connect when they have something to send.
	spans, err := otlptracehttp.New(m.AcceptContext())
	if err != nil {
		return err
	}
	metrics, err := otlpmetrichttp.New(m.AcceptContext())
	if err != nil {
		return err
	}
	err = otelshutdown.Start(m, otelshutdown.Options{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans)),
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metrics))),
		Limit:          *limit,
	})
	if err != nil {
		return err
	}
	_, err = httpserver.Start(m, &http.Server{Addr: *addr, Handler: http.NotFoundHandler()})
	return err
}

// Prometheus is a service that is scraped by Prometheus, also while it shuts down. Its
// record tells the next run how this one ended:
//
//	go build -o orders ./examples/otel/prometheus
//	./orders &
//	curl -d 'two coffees' localhost:8080/orders/17 & sleep 1; kill %1
//	curl -s localhost:9091/metrics | grep ^shutdown_ # within two seconds: in drain
//	./orders &
//	sleep 1; curl -s localhost:9091/metrics | grep ^shutdown_ # the result of the last run
package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
	"github.com/gracefulgo/shutdown/httpserver"
	otelshutdown "github.com/gracefulgo/shutdown/otel"
)

var (
	addr      = flag.String("addr", "localhost:8080", "where to listen")
	adminAddr = flag.String("admin", "localhost:9091", "where to serve /metrics and probes")
	takes     = flag.Duration("coffee", 3*time.Second, "how long an order takes")
	record    = flag.String("record", "orders.record", "where to keep the record of this run")
)

func main() {
	flag.Parse()
	os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{Record: *record}, start)))
}

func start(m *shutdown.Manager) error {
	exporter, err := prometheus.New()
	if err != nil {
		return err
	}
	mp := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
	if err := otelshutdown.Start(m, otelshutdown.Options{MeterProvider: mp}); err != nil {
		return err
	}
	// Not on the server below, which stops accepting when Drain begins.
	if _, err := admin.Start(m, *adminAddr, admin.Options{Handler: promhttp.Handler()}); err != nil {
		return err
	}
	_, err = httpserver.Start(m, &http.Server{Addr: *addr, Handler: routes()})
	return err
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		order, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case <-time.After(*takes):
			fmt.Fprintf(w, "%s: %s\n", r.PathValue("id"), order)
		case <-r.Context().Done(): // the drain is about to end, or the client has gone
			http.Error(w, "no time left", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /menu", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "coffee") })
	return mux
}

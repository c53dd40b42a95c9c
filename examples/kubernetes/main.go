// Kubernetes is a service as it runs in Kubernetes, to be copied. It stores orders, over
// HTTP and gRPC, and a rolling update loses none of its requests.
//
// kubernetes.yaml has the manifests and the arithmetic of the grace period, Dockerfile the
// image. All timing of the shutdown is set there, by SHUTDOWN_GRACE_PERIOD,
// SHUTDOWN_LAME_DUCK and SHUTDOWN_PRESTOP, which the library reads.
//
//	:8080  HTTP: POST /orders, GET /orders/{id}
//	:9090  gRPC: orders.v1.Orders, grpc.health.v1.Health
//	:9091  /livez, /readyz, /prestop, /metrics, /debug/pprof/, /debug/shutdown
//
// Without Kubernetes:
//
//	go run ./examples/kubernetes &
//	curl -d '{"item": "coffee", "quantity": 2}' localhost:8080/orders
//
// naive is the same service without the library, for comparison.
package main

import (
	"flag"
	"log/slog"
	"net/http"
	_ "net/http/pprof" // registers with http.DefaultServeMux
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
	"github.com/gracefulgo/shutdown/examples/kubernetes/orders"
	"github.com/gracefulgo/shutdown/grpcserver"
	"github.com/gracefulgo/shutdown/httpserver"
)

var (
	httpAddr  = flag.String("http", ":8080", "where to serve HTTP")
	grpcAddr  = flag.String("grpc", ":9090", "where to serve gRPC")
	adminAddr = flag.String("admin", ":9091", "where to serve probes, metrics and profiles")
	record    = flag.String("record", "orders.record", "where to keep the record of this run")
)

func main() {
	flag.Parse()
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{Record: *record}, start)))
}

func start(m *shutdown.Manager) error {
	// The first to start: until the others listen, /readyz answers "starting".
	http.Handle("GET /metrics", promhttp.Handler())
	_, err := admin.Start(m, *adminAddr, admin.Options{
		PreStop: true, // who may call it: see the NetworkPolicy in kubernetes.yaml
		Debug:   true,
		Handler: http.DefaultServeMux,
	})
	if err != nil {
		return err
	}

	store := orders.NewStore()
	m.On(shutdown.Close, "store", shutdown.Closer(store)) // when all requests have ended

	if err := startGRPC(m, store); err != nil {
		return err
	}
	_, err = httpserver.Start(m, &http.Server{
		Addr:              *httpAddr,
		Handler:           orders.Mux(store),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       time.Minute, // of a client that sends no body
		// Longer than that of load balancers (60 s for an AWS ALB). Otherwise they send
		// requests on connections that are being closed.
		IdleTimeout: 2 * time.Minute,
	})
	return err
}

func startGRPC(m *shutdown.Manager, store *orders.Store) error {
	srv := grpcserver.NewServer(m,
		grpc.MaxRecvMsgSize(orders.MaxBody),
		// A Service balances connections, not calls. New pods get calls only from clients
		// that reconnect.
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: time.Minute}))
	orders.Register(srv, store)
	h := health.NewServer()
	healthpb.RegisterHealthServer(srv, h)
	grpcserver.Health(m, h)
	return srv.Start(*grpcAddr)
}

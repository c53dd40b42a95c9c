// Naive is the service of examples/kubernetes as it is often written without a library. It
// is the control: its ports and paths are the same, so that it runs with the same
// kubernetes.yaml and the difference is that of main.
//
// What it lacks:
//
//   - It stops accepting at once when SIGTERM arrives, while other nodes still send
//     requests to it. With DELAY (such as 5s) it serves for that long, but nothing makes
//     DELAY and the timeout of Shutdown fit into the grace period.
//   - http.Server.Shutdown closes idle connections on which a request may be arriving
//     (golang/go#75591), and the kernel resets those that have not been accepted yet.
//   - The gRPC server stops accepting only after the HTTP server has ended, and its
//     GracefulStop waits without a limit: one stream that does not end, and SIGKILL ends
//     the process before the store is closed.
//   - What was cut off is not named, and the exit code is 0.
//   - A context of a request does not end before its connection is closed.
//   - It has no /prestop, no status page and no record of a run that was killed.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/gracefulgo/shutdown/examples/kubernetes/orders"
)

var (
	httpAddr  = flag.String("http", ":8080", "where to serve HTTP")
	grpcAddr  = flag.String("grpc", ":9090", "where to serve gRPC")
	adminAddr = flag.String("admin", ":9091", "where to serve probes, metrics and profiles")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	delay, err := parseDelay()
	if err != nil {
		log.Fatal(err)
	}

	store := orders.NewStore()
	defer func() { _ = store.Close() }()
	var leaving atomic.Bool
	mux := orders.Mux(store)
	for _, m := range []*http.ServeMux{mux, http.DefaultServeMux} {
		m.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "alive\n") })
		m.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
			if leaving.Load() {
				http.Error(w, "leaving", http.StatusServiceUnavailable)
				return
			}
			io.WriteString(w, "ready\n")
		})
	}
	http.Handle("GET /metrics", promhttp.Handler())
	go func() { log.Fatal(http.ListenAndServe(*adminAddr, nil)) }()

	ln, err := net.Listen("tcp", *grpcAddr)
	if err != nil {
		log.Fatal(err)
	}
	grpcSrv := grpc.NewServer(
		grpc.MaxRecvMsgSize(orders.MaxBody),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: time.Minute}))
	orders.Register(grpcSrv, store)
	healthSrv := health.NewServer()
	healthpb.RegisterHealthServer(grpcSrv, healthSrv)
	go func() {
		if err := grpcSrv.Serve(ln); err != nil {
			log.Fatal(err)
		}
	}()

	srv := &http.Server{
		Addr:              *httpAddr,
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
	}
	go func() {
		if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()

	<-ctx.Done()
	log.Print("shutting down")
	leaving.Store(true)
	healthSrv.Shutdown() // NOT_SERVING
	time.Sleep(delay)
	timeout, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(timeout); err != nil {
		log.Print("http: ", err)
	}
	grpcSrv.GracefulStop()
}

// parseDelay returns how long to go on serving after SIGTERM.
func parseDelay() (time.Duration, error) {
	text := os.Getenv("DELAY")
	if text == "" {
		return 0, nil
	}
	return time.ParseDuration(text)
}

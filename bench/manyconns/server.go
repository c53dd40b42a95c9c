//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/listener"
)

// limit is the timeout of both servers' shutdowns.
const limit = 20 * time.Second

// answer is the response body of all paths but /inflight.
const answer = "Hello, world!"

// roles are the servers that run as child processes. The argument is how long after
// SIGTERM the requests in flight are answered.
var roles = map[string]func(ctx context.Context, args []string){
	"plain":   func(_ context.Context, args []string) { plain(newServer(args)) },
	"library": func(_ context.Context, args []string) { library(newServer(args)) },
}

// newServer returns the server that both roles use. Its handlers learn of SIGTERM in
// the same way in both.
func newServer(args []string) *http.Server {
	hold, err := time.ParseDuration(args[0])
	if err != nil {
		log.Fatal(err)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	release := make(chan struct{})
	go func() {
		<-term
		time.Sleep(hold)
		close(release)
	}()

	var inFlight atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /quick", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, answer)
	})
	mux.HandleFunc("GET /held", func(w http.ResponseWriter, _ *http.Request) {
		inFlight.Add(1)
		<-release
		_, _ = io.WriteString(w, answer)
	})
	mux.HandleFunc("GET /inflight", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, inFlight.Load())
	})
	return &http.Server{Handler: mux}
}

// plain serves with net/http alone: it waits for the signal and calls Shutdown.
func plain(srv *http.Server) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	fmt.Println(ln.Addr())

	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}

// library serves with this library.
func library(srv *http.Server) {
	m, err := shutdown.New(shutdown.Config{
		GracePeriod: limit + 5*time.Second,
		Timeout:     limit,
		LameDuck:    -1, // there is no load balancer
	})
	if err != nil {
		log.Fatal(err)
	}
	ln, err := listener.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := httpserver.Serve(m, srv, ln); err != nil {
		log.Fatal(err)
	}
	fmt.Println(ln.Addr())
	os.Exit(shutdown.ExitCode(m.Wait()))
}

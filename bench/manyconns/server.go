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

// limit is what both servers have for their end.
const limit = 20 * time.Second

// answer is every body but that of /inflight.
const answer = "Hello, world!"

// roles are what the child processes do. The argument is how long after SIGTERM
// the requests in flight are answered.
var roles = map[string]func(ctx context.Context, args []string){
	"plain":   func(_ context.Context, args []string) { plain(newServer(args)) },
	"library": func(_ context.Context, args []string) { library(newServer(args)) },
}

// newServer is what both have in common, down to how the handlers learn when
// they may answer.
func newServer(args []string) *http.Server {
	hold, err := time.ParseDuration(args[0])
	if err != nil {
		log.Fatal(err)
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	release := make(chan struct{})
	go func() {
		<-told
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

// plain is the textbook: wait for the signal, call Shutdown.
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

// library is the same with the library.
func library(srv *http.Server) {
	m, err := shutdown.New(shutdown.Config{
		GracePeriod: limit + 5*time.Second,
		Timeout:     limit,
		LameDuck:    -1, // nobody routes requests here, so nobody needs time to stop that
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

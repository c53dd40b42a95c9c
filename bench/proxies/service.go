//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
	"github.com/gracefulgo/shutdown/httpserver"
)

// limit is the timeout of both services' shutdowns.
const limit = 10 * time.Second

// roles are the services that run as child processes. Their arguments are the address of
// the service, that of /readyz and /served, and the lame duck.
var roles = map[string]func(ctx context.Context, args []string){
	"plain":   func(_ context.Context, args []string) { serve(args, plain) },
	"library": func(_ context.Context, args []string) { serve(args, library) },
}

// A service is what both roles serve: an http.Server and a handler that counts its
// requests.
type service struct {
	*http.Server
	adminAddr string
	lameDuck  time.Duration
	requests  atomic.Int64
}

func serve(args []string, run func(*service)) {
	lameDuck, err := time.ParseDuration(args[2])
	if err != nil {
		log.Fatal(err)
	}
	s := &service{adminAddr: args[1], lameDuck: lameDuck}
	s.Server = &http.Server{Addr: args[0], Handler: http.HandlerFunc(s.echo)}
	run(s)
}

// echo takes 1 to 3 ms and returns the body of the request.
func (s *service) echo(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	time.Sleep(time.Millisecond + rand.N(2*time.Millisecond))
	_, _ = w.Write(body)
}

// served answers with the number of requests so far.
func (s *service) served(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s.requests.Load()) }

// plain is the usual way with net/http alone.
func plain(s *service) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /served", s.served)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ctx.Err() != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	for _, srv := range []*http.Server{s.Server, {Addr: s.adminAddr, Handler: mux}} {
		go func() {
			if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
				log.Fatal(err)
			}
		}()
	}
	fmt.Println(s.Addr)

	<-ctx.Done()
	time.Sleep(s.lameDuck)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}

// library serves with this library.
func library(s *service) {
	c := shutdown.Config{GracePeriod: limit + 5*time.Second, Timeout: limit, LameDuck: s.lameDuck}
	if s.lameDuck == 0 {
		c.LameDuck = -1
	}
	os.Exit(shutdown.ExitCode(shutdown.Run(c, func(m *shutdown.Manager) error {
		if _, err := admin.Start(m, s.adminAddr, admin.Options{Handler: http.HandlerFunc(s.served)}); err != nil {
			return err
		}
		if _, err := httpserver.Start(m, s.Server); err != nil {
			return err
		}
		fmt.Println(s.Addr)
		return nil
	})))
}

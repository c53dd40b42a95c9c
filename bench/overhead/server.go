package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime/pprof"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/listener"
)

// path is the path of all requests, with either handler.
const path = "/hello/world"

// roles are the servers that run as child processes. The arguments are whether to use
// a ServeMux, and the file of the CPU profile, or "".
var roles = map[string]func(ctx context.Context, args []string){
	"bare":    func(ctx context.Context, args []string) { run(ctx, args, bare) },
	"library": func(ctx context.Context, args []string) { run(ctx, args, library) },
}

func run(ctx context.Context, args []string, serve func(http.Handler) (net.Addr, error)) {
	addr, err := serve(handler(args[0] == "true"))
	if err != nil {
		log.Fatal(err)
	}
	if name := args[1]; name != "" {
		f, err := os.Create(name)
		if err != nil {
			log.Fatal(err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			log.Fatal(err)
		}
		defer pprof.StopCPUProfile()
	}
	fmt.Println(addr)
	<-ctx.Done()
}

// handler returns a handler that answers with 13 bytes.
func handler(mux bool) http.Handler {
	if !mux {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "Hello, world!")
		})
	}
	m := http.NewServeMux()
	m.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "Hello, "+r.PathValue("name")+"!")
	})
	return m
}

func bare(h http.Handler) (net.Addr, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: h}
	go func() { log.Fatal(srv.Serve(ln)) }()
	return ln.Addr(), nil
}

func library(h http.Handler) (net.Addr, error) {
	m, err := shutdown.New(shutdown.Config{})
	if err != nil {
		return nil, err
	}
	ln, err := listener.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: h}
	_, err = httpserver.Serve(m, srv, ln)
	return ln.Addr(), err
}

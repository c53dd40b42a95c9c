package main

import (
	"context"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

// newServer returns the server that both services use. Its handler takes 1 to 3 ms and
// returns the body of the request.
func newServer() *http.Server {
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			time.Sleep(time.Millisecond + rand.N(2*time.Millisecond))
			_, _ = w.Write(body)
		}),
		Protocols: new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	return srv
}

// servePlain is the usual way: wait for the signal and call Shutdown.
func servePlain(addr string) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	srv := newServer()
	go func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()

	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}

// serveGracefully is the same with the library.
func serveGracefully(addr string) {
	os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{
		LameDuck: -1, // no load balancer needs time to stop sending requests
	}, func(m *shutdown.Manager) error {
		srv := newServer()
		srv.Addr = addr
		_, err := httpserver.Start(m, srv)
		return err
	})))
}

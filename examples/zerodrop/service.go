package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/listener"
)

// newServer is what both services have in common: a server whose handler takes
// 1 to 3 ms and sends back what it was sent.
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

// loopback is an address of this host that nobody else uses, on Linux, which has
// so many. A port of a shared one may be a stranger's as soon as it is closed,
// and a client that comes late would count as lost what he answers.
func loopback() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1:0"
	}
	return fmt.Sprintf("127.%d.%d.%d:0", 1+rand.N(254), rand.N(256), 1+rand.N(254))
}

// plain is the textbook: wait for the signal, call Shutdown.
func plain() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := net.Listen("tcp", loopback())
	if err != nil {
		log.Fatal(err)
	}
	srv := newServer()
	go func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	fmt.Println(ln.Addr())

	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
}

// graceful is the same with the library.
func graceful() {
	m, err := shutdown.New(shutdown.Config{
		LameDuck: -1, // nobody routes requests here, so nobody needs time to stop that
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := start(m); err != nil {
		m.Begin(err)
	}
	os.Exit(shutdown.ExitCode(m.Wait()))
}

func start(m *shutdown.Manager) error {
	ln, err := listener.Listen(context.Background(), "tcp", loopback())
	if err != nil {
		return err
	}
	if _, err := httpserver.Serve(m, newServer(), ln); err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	return nil
}

//go:build unix

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
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/leaks"
	"github.com/gracefulgo/shutdown/internal/testcert"
)

// The environment variables that make the test binary one of the programs.
const (
	programVariable = "DRILL_PROGRAM"
	addrVariable    = "DRILL_ADDR"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(programVariable); name != "" {
		programs[name](os.Getenv(addrVariable))
		return
	}
	goleak.VerifyTestMain(leaks.Patient(m, goleak.Find))
}

// programs are services that shut down well or badly.
var programs = map[string]func(addr string){
	"library":         func(addr string) { serveWithLibrary(newServer(addr)) },
	"TLS":             serveTLS,
	"plain":           func(addr string) { servePlain(addr, func() {}) },
	"ignores SIGTERM": func(addr string) { signal.Ignore(syscall.SIGTERM); listen(newServer(addr)) },
	"hangs":           func(addr string) { servePlain(addr, func() { time.Sleep(time.Hour) }) },
	"exits at once":   func(addr string) { exitOn(syscall.SIGTERM); listen(newServer(addr)) },
	"exits with 3":    func(addr string) { servePlain(addr, func() { os.Exit(3) }) },
	"raises SIGTERM again": func(addr string) {
		serveAndThen(addr, func() {
			signal.Reset(syscall.SIGTERM)
			_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
			select {}
		})
	},
	"exits with 143, as Java does": func(addr string) { serveAndThen(addr, func() { os.Exit(143) }) },
	"closes only its listener":     closeOnlyListener,
	"ends after five requests": func(addr string) {
		endAfter = 5
		listen(newServer(addr))
	},
	"fails every tenth": func(addr string) {
		failEvery = 10
		listen(newServer(addr))
	},
	"drill": func(string) {
		if err := os.Setenv(programVariable, os.Getenv("DRILL_OF")); err != nil {
			log.Fatal(err)
		}
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	},
	"leaves a process": func(addr string) { startChild(); serveWithLibrary(newServer(addr)) },
	"handles SIGUSR1":  func(addr string) { exitOn(syscall.SIGUSR1); listen(newServer(addr)) },
}

var (
	requests            atomic.Int64
	endAfter, failEvery int64
)

func newServer(addr string) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(2 * time.Millisecond)
		n := requests.Add(1)
		if n == endAfter {
			os.Exit(7)
		}
		if failEvery > 0 && n%failEvery == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintln(w, "hello")
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(500 * time.Millisecond)
		fmt.Fprintln(w, "hello")
	})
	mux.HandleFunc("/never", func(http.ResponseWriter, *http.Request) { select {} })
	srv := &http.Server{Addr: addr, Handler: mux, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(os.Getenv("DRILL_NO_HTTP1") == "")
	srv.Protocols.SetUnencryptedHTTP2(os.Getenv("DRILL_HTTP2") != "")
	return srv
}

func serveWithLibrary(srv *http.Server) {
	os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{GracePeriod: 10 * time.Second, LameDuck: -1}, func(m *shutdown.Manager) error {
		_, err := httpserver.Start(m, srv)
		return err
	})))
}

func serveTLS(addr string) {
	cert, err := testcert.New()
	if err != nil {
		log.Fatal(err)
	}
	srv := newServer(addr)
	if srv.TLSConfig, err = cert.Server(); err != nil {
		log.Fatal(err)
	}
	srv.Protocols = nil
	serveWithLibrary(srv)
}

// servePlain calls then when the server has shut down.
func servePlain(addr string, then func()) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	srv := newServer(addr)
	go listen(srv)
	<-ctx.Done()
	if err := srv.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	then()
}

// serveAndThen calls then when the server has drained with the library.
func serveAndThen(addr string, then func()) {
	_ = shutdown.Run(shutdown.Config{GracePeriod: 10 * time.Second, LameDuck: -1}, func(m *shutdown.Manager) error {
		_, err := httpserver.Start(m, newServer(addr))
		return err
	})
	then()
}

func closeOnlyListener(addr string) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	go func() {
		<-c
		_ = ln.Close()
	}()
	_ = newServer(addr).Serve(ln)
	select {}
}

func listen(srv *http.Server) {
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

func exitOn(sig os.Signal) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, sig)
	go func() {
		<-c
		os.Exit(0)
	}()
}

// startChild starts a process in a session of its own, as a daemon is.
func startChild() {
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		log.Fatal(err)
	}
}

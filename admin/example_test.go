package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
)

// quiet is for examples: the Manager catches no signals and logs nothing. A program uses
// shutdown.Config{}.
var quiet = shutdown.Config{Signals: shutdown.NoSignals(), Logger: slog.New(slog.DiscardHandler)}

// The probes and the preStop hook are on a port that the platform can reach, the status
// page on loopback.
func ExampleStart() {
	err := shutdown.Run(shutdown.Config{}, func(m *shutdown.Manager) error {
		if _, err := admin.Start(m, ":9090", admin.Options{PreStop: true}); err != nil {
			return err
		}
		_, err := admin.Start(m, "127.0.0.1:9091", admin.Options{Debug: true, Handler: http.DefaultServeMux})
		return err
	})
	os.Exit(shutdown.ExitCode(err))
}

// Handler is for a server of your own, here that of a test.
func ExampleHandler() {
	m, err := shutdown.New(quiet)
	if err != nil {
		log.Fatal(err)
	}
	srv := httptest.NewServer(admin.Handler(m, admin.Options{}))
	defer srv.Close()

	fmt.Println(request(http.MethodGet, srv.URL+"/readyz"))
	m.Begin(nil) // in a program: a signal
	fmt.Println(m.Wait())
	fmt.Println(request(http.MethodGet, srv.URL+"/readyz"))
	fmt.Println(request(http.MethodGet, srv.URL+"/livez"))
	// Output:
	// 503 starting
	// <nil>
	// 503 leaving
	// 200 alive
}

// The service is ready when its cache is filled.
func ExampleOptions_ready() {
	m, err := shutdown.New(quiet)
	if err != nil {
		log.Fatal(err)
	}
	var filled atomic.Bool
	srv := httptest.NewServer(admin.Handler(m, admin.Options{Ready: func(context.Context) error {
		if !filled.Load() {
			return errors.New("the cache is being filled")
		}
		return nil
	}}))
	defer srv.Close()
	ended := make(chan error)
	go func() { ended <- m.Wait() }()
	<-m.Waiting()

	fmt.Println(request(http.MethodGet, srv.URL+"/readyz"))
	filled.Store(true)
	fmt.Println(request(http.MethodGet, srv.URL+"/readyz"))
	m.Begin(nil)
	fmt.Println(<-ended)
	// Output:
	// 503 starting
	// 200 ready
	// <nil>
}

// A request to /prestop starts the shutdown and is answered when the lame duck is over.
func ExampleOptions_preStop() {
	m, err := shutdown.New(quiet)
	if err != nil {
		log.Fatal(err)
	}
	srv := httptest.NewServer(admin.Handler(m, admin.Options{PreStop: true}))
	defer srv.Close()

	fmt.Println(request(http.MethodPost, srv.URL+"/prestop"))
	fmt.Println(m.Wait())
	fmt.Println("cause:", m.Report().Cause)
	// Output:
	// 200 the lame duck is over
	// <nil>
	// cause: preStop from 127.0.0.1
}

// A program gets the status as a Report.
func ExampleOptions_debug() {
	m, err := shutdown.New(quiet)
	if err != nil {
		log.Fatal(err)
	}
	m.On(shutdown.Close, "db", func(context.Context) error { return nil })
	srv := httptest.NewServer(admin.Handler(m, admin.Options{Debug: true}))
	defer srv.Close()

	req, err := http.NewRequest(http.MethodGet, srv.URL+"/debug/shutdown", nil)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	var report shutdown.Report
	if err := json.NewDecoder(resp.Body).Decode(&report); err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Phase)
	for _, hook := range report.Pending {
		fmt.Println("pending:", hook.Phase, hook.Name)
	}
	// Output:
	// running
	// pending: close db
}

// request returns the status and the body of a response.
func request(method, url string) string {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(text)))
}

package httpserver_test

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

// quiet is for examples: the Manager catches no signals and logs nothing. A program uses
// shutdown.Config{}.
var quiet = shutdown.Config{Signals: map[os.Signal]shutdown.Action{}, Logger: slog.New(slog.DiscardHandler)}

// A request that is in flight when the shutdown starts is answered.
func Example() {
	m, err := shutdown.New(quiet)
	if err != nil {
		log.Fatal(err)
	}
	inHandler := make(chan struct{})
	s, err := httpserver.Start(m, &http.Server{
		Addr: "127.0.0.1:0",
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(inHandler)
			<-m.Reached(shutdown.Drain)
			_, _ = io.WriteString(w, "hello")
		}),
	})
	if err != nil {
		log.Fatal(err)
	}

	answer := make(chan string)
	go func() { answer <- body(s.Addr()) }()
	<-inHandler
	m.Begin(nil) // in a program: a signal
	fmt.Println(<-answer)
	fmt.Println(m.Wait())
	// Output:
	// hello
	// <nil>
}

// body sends a request and returns the body of the response.
func body(addr net.Addr) string {
	resp, err := http.Get("http://" + addr.String())
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Middleware is for servers that something else starts, for example a test.
func ExampleMiddleware() {
	m, err := shutdown.New(quiet)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux() // or any other router
	mux.HandleFunc("GET /orders/{id}", func(http.ResponseWriter, *http.Request) {
		fmt.Println(m.Tasks()[0].Name)
	})
	handler := httpserver.Middleware(m)(mux)

	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/orders/17", nil))
	m.Begin(nil)
	_ = m.Wait()
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, httptest.NewRequest(http.MethodGet, "/orders/17", nil))
	fmt.Println(response.Code, response.Header().Get("Connection"))
	// Output:
	// GET /orders/{id}
	// 503 close
}

// A middleware of a router gives requests the name of their route.
func ExampleSetName() {
	m, err := shutdown.New(quiet)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Force(nil)
	route := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(m.Tasks()[0].Name)
		httpserver.SetName(r.Context(), r.Method+" /orders/:id")
		fmt.Println(m.Tasks()[0].Name)
	})

	httpserver.Middleware(m)(route).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/orders/17", nil))
	// Output:
	// GET /orders/17
	// GET /orders/:id
}

// The shutdown does not wait for a CPU profile.
func ExampleUntrack() {
	m, err := shutdown.New(quiet)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Force(nil)
	profile := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(len(m.Tasks()))
		httpserver.Untrack(r.Context())
		fmt.Println(len(m.Tasks()))
	})

	httpserver.Middleware(m)(profile).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/debug/pprof/profile", nil))
	// Output:
	// 1
	// 0
}

// The handlers of the outer server call the inner one, so the inner one drains last.
func ExampleServer_DrainAfter() {
	m, err := shutdown.New(quiet)
	if err != nil {
		log.Fatal(err)
	}
	inner, err := httpserver.Start(m, &http.Server{
		Addr: "127.0.0.1:0",
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "from the inner server")
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	inHandler := make(chan struct{})
	outer, err := httpserver.Start(m, &http.Server{
		Addr: "127.0.0.1:0",
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(inHandler)
			<-m.Reached(shutdown.Drain)
			_, _ = io.WriteString(w, "hello "+body(inner.Addr()))
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	inner.DrainAfter(outer.Drained())

	answer := make(chan string)
	go func() { answer <- body(outer.Addr()) }()
	<-inHandler
	m.Begin(nil) // in a program: a signal
	fmt.Println(<-answer)
	fmt.Println(m.Wait())
	// Output:
	// hello from the inner server
	// <nil>
}

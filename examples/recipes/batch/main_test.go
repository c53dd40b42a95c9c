package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "without": without})
}

// without writes the last batch when the program is told to stop: too early for the requests
// that it still has.
func without() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	b := &batch{out: bufio.NewWriter(f)}
	srv := &http.Server{Addr: addr, Handler: http.HandlerFunc(b.handler)}
	go func() { _ = srv.ListenAndServe() }()
	<-ctx.Done()
	_ = b.flush()
	fmt.Println("flushed")
	_ = srv.Shutdown(context.Background())
}

func TestTheLastBatchHasTheEventsOfTheLastRequests(t *testing.T) {
	p, events := stopInRequest(t, "recipe", "shutdown: waiting")
	p.ExitsWell()
	require.Equal(t, "/orders/17\n", events())
}

func TestWithoutItAnEventIsLost(t *testing.T) {
	p, events := stopInRequest(t, "without", "flushed")
	require.Equal(t, "exit status 0", p.Exit())
	require.Empty(t, events())
}

// stopInRequest starts the program, sends it SIGTERM while it handles a request, and lets that end
// when the output has the text.
func stopInRequest(t *testing.T, program, text string) (p *recipetest.Process, events func() string) {
	file := filepath.Join(t.TempDir(), "events.txt")
	p = recipetest.Start(t, program, "RECIPE_EFFECTS="+file)
	p.AwaitListen()
	answer := recipetest.Get(t, &http.Client{Transport: &http.Transport{}}, "http://"+p.Addr+"/orders/17")
	p.Await("begun: /orders/17")
	p.Terminate()
	p.Await(text)
	p.Release()
	got := <-answer
	require.NoError(t, got.Err)
	require.Equal(t, http.StatusOK, got.Status)
	return p, func() string {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		return string(text)
	}
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/examples/recipes/internal/recipetest"
)

func TestMain(m *testing.M) {
	recipetest.Main(m, map[string]func(){"recipe": main, "without": without})
}

// without drains with net/http, which waits for the stream.
func without() {
	http.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		for tick := time.Tick(100 * time.Millisecond); ; {
			select {
			case now := <-tick:
				fmt.Fprintf(w, "data: %s\n\n", now)
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	srv := &http.Server{Addr: addr}
	go func() { _ = srv.ListenAndServe() }()
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		fmt.Println("Shutdown:", err)
		os.Exit(1)
	}
}

// events opens the stream, sends SIGTERM after the first event, and returns the last line
// that is not empty, and the error with which the stream ends.
func events(t *testing.T, p *recipetest.Process) (last string, err error) {
	t.Helper()
	p.AwaitListen()
	resp, err := http.Get("http://" + p.Addr + "/events")
	require.NoError(t, err)
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "data: ")
	p.Terminate()
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return last, err
		}
		if line != "\n" {
			last = line
		}
	}
}

func TestTheStreamEndsWithATimeToReconnect(t *testing.T) {
	p := recipetest.Start(t, "recipe")
	last, err := events(t, p)
	require.ErrorIs(t, err, io.EOF, "the response is complete")
	require.Regexp(t, `^retry: \d+\n$`, last)
	p.ExitsWell()
}

func TestWithoutItTheStreamIsCutOffWhenTheTimeIsUp(t *testing.T) {
	p := recipetest.Start(t, "without")
	last, err := events(t, p)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Contains(t, last, "data: ")
	require.Equal(t, "exit status 1", p.Exit())
	require.Contains(t, p.Output(), "Shutdown: context deadline exceeded")
}

// Batch collects events, and writes them to a file in batches.
package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/examples/recipes/internal/demo"
	"github.com/gracefulgo/shutdown/httpserver"
)

func main() { os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start))) }

var (
	addr = demo.Addr
	path = cmp.Or(os.Getenv("RECIPE_EFFECTS"), "events.txt")
)

// period is how long an event may wait for its batch.
const period = time.Minute

// A batch has the events that are not written yet.
type batch struct {
	mu  sync.Mutex
	out *bufio.Writer
}

func (b *batch) add(event string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := fmt.Fprintln(b.out, event)
	return err
}

func (b *batch) flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Flush()
}

// handler answers when the event of the request is in the batch.
func (b *batch) handler(w http.ResponseWriter, r *http.Request) {
	err := demo.Work(r.Context(), r.URL.Path)
	if err == nil {
		err = b.add(r.URL.Path)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// recipe

func start(m *shutdown.Manager) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	m.On(shutdown.Close, "file", shutdown.Closer(f))
	b := &batch{out: bufio.NewWriterSize(f, 64<<10)}
	m.On(shutdown.Close, "last batch", func(context.Context) error { return b.flush() })

	m.Go("batches", func(ctx context.Context) error {
		for {
			select {
			case <-time.After(period):
				if err := b.flush(); err != nil {
					return err // begins the shutdown
				}
			case <-ctx.Done():
				return nil
			}
		}
	})
	_, err = httpserver.Start(m, &http.Server{Addr: addr, Handler: http.HandlerFunc(b.handler)})
	return err
}

// end

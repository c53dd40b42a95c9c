// Quickstart is a small service with graceful shutdown. It accepts orders, keeps them in
// memory and writes them to a journal. Stop it while it handles an order:
//
//	go run ./examples/quickstart &
//	curl -d 'two coffees' localhost:8080/orders/17 &
//	sleep 1; pkill quickstart
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

var (
	addr = flag.String("addr", "localhost:8080", "where to listen")
	path = flag.String("journal", "journal.txt", "where to write orders to")
)

func main() {
	flag.Parse()
	err := shutdown.Run(shutdown.Config{}, start) // from here on signals are caught
	fmt.Println(shutdown.Default().Report())
	os.Exit(shutdown.ExitCode(err))
}

func start(m *shutdown.Manager) error {
	j, err := openJournal(*path)
	if err != nil {
		return err // and not log.Fatal, which would skip every hook
	}
	m.On(shutdown.Close, "journal", j.close) // as soon as it is open
	m.Go("flusher", j.flushNowAndThen)

	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		order, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case <-time.After(3 * time.Second): // coffee takes its time
		case <-r.Context().Done(): // the drain is about to end, or the client has gone
			http.Error(w, "no time left", http.StatusServiceUnavailable)
			return
		}
		j.write(r.PathValue("id"), order)
		fmt.Fprintln(w, "thank you")
	})
	_, err = httpserver.Start(m, &http.Server{Addr: *addr, Handler: mux})
	return err
}

// A journal keeps orders in memory until it is flushed.
type journal struct {
	file *os.File
	mu   sync.Mutex // protects buf
	buf  *bufio.Writer
}

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &journal{file: f, buf: bufio.NewWriter(f)}, nil
}

func (j *journal) write(id string, order []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(j.buf, "%s: %s\n", id, order) // Flush returns its error
}

func (j *journal) flush() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Flush()
}

// flushNowAndThen is a worker. It returns when the shutdown starts; close flushes the
// orders that come after that.
func (j *journal) flushNowAndThen(ctx context.Context) error {
	for {
		select {
		case <-time.After(time.Minute):
		case <-ctx.Done():
			return nil
		}
		if err := j.flush(); err != nil {
			return err // starts the shutdown
		}
	}
}

func (j *journal) close(context.Context) error {
	return errors.Join(j.flush(), j.file.Sync(), j.file.Close())
}

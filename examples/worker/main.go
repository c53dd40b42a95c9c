// Worker receives jobs from a queue and writes their results to a file in batches. On
// SIGTERM it writes the results that are still in memory, even if a request hangs. After
// a SIGKILL, which no program can handle, the next run logs that this one was killed:
//
//	go build -o worker ./examples/worker
//	./worker & sleep 2; kill $!        # results.txt has all results
//	./worker & sleep 2; kill -KILL $!  # the results in memory are lost
//	./worker                           # says so, and the queue sends those jobs again
//
// For a request that hangs, run curl localhost:8081/forever meanwhile.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

var (
	addr    = flag.String("addr", "localhost:8081", "where to listen")
	queue   = flag.String("queue", "", "address of the queue; if empty, jobs are generated")
	path    = flag.String("results", "results.txt", "where to write results to")
	record  = flag.String("record", "worker.record", "where to keep the record of this run")
	perJob  = flag.Duration("job", 50*time.Millisecond, "how long a job takes")
	toFlush = flag.Int("flush", 1000, "how many results to keep in memory")
)

func main() {
	flag.Parse()
	m, err := shutdown.New(shutdown.Config{Record: *record})
	if err != nil {
		log.Fatal(err)
	}
	if last, killed := m.LastRun(); killed { // New has logged this; here is the timeline
		fmt.Println(last)
	}
	if err := start(m); err != nil {
		m.Begin(err)
	}
	err = m.Wait()
	fmt.Println(m.Report())
	os.Exit(shutdown.ExitCode(err))
}

func start(m *shutdown.Manager) error {
	conn, err := dial(*queue)
	if err != nil {
		return err
	}
	m.On(shutdown.Close, "queue", func(context.Context) error { return conn.Close() })

	// Close hooks run in reverse order: the results are written while the queue is still
	// open to acknowledge their jobs. Reserve is kept for them even if a request hangs.
	r, err := openResults(*path, *toFlush, conn)
	if err != nil {
		return err
	}
	m.On(shutdown.Close, "results", r.close)

	m.Go("consumer", func(ctx context.Context) error {
		return consume(ctx, m.WorkContext(), conn, r)
	})

	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, r.inMemory(), "results in memory")
	})
	mux.HandleFunc("GET /forever", func(http.ResponseWriter, *http.Request) {
		time.Sleep(24 * time.Hour) // code that ignores its context
	})
	_, err = httpserver.Start(m, &http.Server{Addr: *addr, Handler: mux})
	return err
}

// consume handles jobs until ctx is done, and finishes the current one. work is
// WorkContext.
func consume(ctx, work context.Context, conn net.Conn, r *results) error {
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })()
	jobs := bufio.NewScanner(conn)
	for ctx.Err() == nil && jobs.Scan() {
		select {
		case <-time.After(*perJob):
		case <-work.Done(): // the drain is about to end; the queue sends the job again
			return context.Cause(work)
		}
		if err := r.add(jobs.Text()); err != nil {
			return err // starts the shutdown
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case jobs.Err() != nil:
		return fmt.Errorf("queue: %w", jobs.Err())
	}
	return errors.New("queue: connection closed")
}

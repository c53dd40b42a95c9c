// Worker takes jobs from a queue and keeps their results in memory until there
// are enough of them to be worth a write. Told to stop, it writes what it has,
// also if a request hangs. Killed, it says so when it starts the next time:
//
//	go build -o worker ./examples/worker
//	./worker & sleep 2; kill $!        # results.txt has all results
//	./worker & sleep 2; kill -KILL $!  # those of the last run are lost ...
//	./worker                           # ... which this one says; its jobs come again
//
// To see a request that hangs, curl localhost:8081/forever meanwhile.
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
	queue   = flag.String("queue", "", "address of the queue; none: jobs are made up")
	path    = flag.String("results", "results.txt", "where to write results to")
	record  = flag.String("record", "worker.record", "where to record how far this run has come")
	perJob  = flag.Duration("job", 50*time.Millisecond, "how long a job takes")
	toFlush = flag.Int("flush", 1000, "how many results to keep in memory")
)

func main() {
	flag.Parse()
	m, err := shutdown.New(shutdown.Config{Record: *record})
	if err != nil {
		log.Fatal(err)
	}
	if last, killed := m.LastRun(); killed { // New has logged it in a line; this is the timeline
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

	// Opened after the queue, so closed before it: what is written then, the
	// queue is still told to forget. Whatever hangs before, Reserve is left.
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
		time.Sleep(24 * time.Hour) // code that ignores its context: there is always some
	})
	_, err = httpserver.Start(m, &http.Server{Addr: *addr, Handler: mux})
	return err
}

// consume takes no new job once ctx is done, and finishes the one in hand.
func consume(ctx, work context.Context, conn net.Conn, r *results) error {
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })()
	jobs := bufio.NewScanner(conn)
	for ctx.Err() == nil && jobs.Scan() {
		select {
		case <-time.After(*perJob):
		case <-work.Done(): // the drain is about to end: the job is not done, and will come again
			return context.Cause(work)
		}
		if err := r.add(jobs.Text()); err != nil {
			return err // which begins the shutdown
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case jobs.Err() != nil:
		return fmt.Errorf("queue: %w", jobs.Err())
	}
	return errors.New("queue: it has hung up")
}

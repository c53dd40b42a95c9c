// Service is a service as the documentation of package systemd shows it: it takes the
// socket of a socket unit, tells systemd what it is doing, and may ask for its grace
// period. With -naive it is what people write without the library.
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/systemd"
)

var (
	naive  = flag.Bool("naive", false, "without the library")
	ask    = flag.Bool("ask", false, "ask systemd for the grace period")
	upload = flag.Duration("upload", 0, "how long the last upload takes")
)

func main() {
	flag.Parse()
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	http.HandleFunc("POST /orders", order)
	if *naive {
		if err := runNaive(); err != nil {
			slog.Error("naive", "error", err)
			os.Exit(1)
		}
		return
	}
	var cfg shutdown.Config
	if *ask {
		grace, err := systemd.GracePeriod(context.Background())
		if err != nil {
			slog.Warn("the grace period is not known", "error", err)
		}
		cfg.GracePeriod = grace
	}
	os.Exit(shutdown.ExitCode(shutdown.Run(cfg, start)))
}

func start(m *shutdown.Manager) error {
	systemd.Notify(m, nil)
	m.On(shutdown.Drain, "upload", func(ctx context.Context) error {
		select {
		case <-time.After(*upload):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	sockets, err := systemd.Listeners()
	if err != nil {
		return err
	}
	for _, ln := range sockets["http"] {
		if _, err := httpserver.Serve(m, new(http.Server), ln); err != nil {
			return err
		}
	}
	return nil
}

func runNaive() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	srv := new(http.Server)
	if os.Getenv("LISTEN_FDS") == "1" {
		const first = 3 // the number of the first descriptor that systemd passes
		ln, err := net.FileListener(os.NewFile(first, "http"))
		if err != nil {
			return err
		}
		go func() {
			if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				slog.Error("serve", "error", err)
			}
		}()
	}
	<-ctx.Done()
	stopping, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := srv.Shutdown(stopping)
	time.Sleep(*upload)
	return err
}

// order takes a moment, so that there are always some in progress.
func order(w http.ResponseWriter, r *http.Request) {
	time.Sleep(2 * time.Millisecond)
	_, _ = io.Copy(w, r.Body) // the client has gone
}

// Signals is a service with a table of signals of its own. Its requests take 2 s.
package main

import (
	"log/slog"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{
		Signals: map[os.Signal]shutdown.Action{
			syscall.SIGHUP:  shutdown.Graceful,
			syscall.SIGTERM: shutdown.Immediate,
			syscall.SIGUSR1: shutdown.Dump,
			syscall.SIGUSR2: ignore,
		},
	}, start)))
}

func ignore(_ *shutdown.Manager, sig os.Signal) {
	slog.Info("signals: ignored", "signal", sig.String())
}

func start(m *shutdown.Manager) error {
	http.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush() // says that it is in progress
		select {
		case <-time.After(2 * time.Second):
			_, _ = w.Write([]byte("tea"))
		case <-r.Context().Done():
		}
	})
	_, err := httpserver.Start(m, &http.Server{Addr: ":8080"})
	return err
}

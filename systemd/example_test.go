package systemd_test

import (
	"context"
	"database/sql"
	"log/slog"
	"net/http"
	"os"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/systemd"
)

var (
	db  *sql.DB
	mux = http.NewServeMux()
)

// start is in the package documentation too.
func start(m *shutdown.Manager) error {
	systemd.Notify(m, nil)
	sockets, err := systemd.Listeners()
	if err != nil {
		return err
	}
	if len(sockets["http"]) == 0 { // not under systemd
		_, err := httpserver.Start(m, &http.Server{Addr: ":8080", Handler: mux})
		return err
	}
	for _, ln := range sockets["http"] {
		if _, err := httpserver.Serve(m, &http.Server{Handler: mux}, ln); err != nil {
			return err
		}
	}
	return nil
}

// The unit is active when the database answers.
func ExampleNotify() {
	m := shutdown.Default()
	systemd.Notify(m, db.PingContext)
	os.Exit(shutdown.ExitCode(m.Wait()))
}

// A service with a public and an internal socket unit: FileDescriptorName=http in one, and
// FileDescriptorName=admin in the other.
func ExampleListeners() {
	start := func(m *shutdown.Manager) error {
		sockets, err := systemd.Listeners()
		if err != nil {
			return err
		}
		for name, handler := range map[string]http.Handler{"http": mux, "admin": http.DefaultServeMux} {
			for _, ln := range sockets[name] {
				if _, err := httpserver.Serve(m, &http.Server{Handler: handler}, ln); err != nil {
					return err
				}
			}
		}
		return nil
	}
	os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start)))
}

// TimeoutStopSec of the unit is the grace period, and the Timeout follows from it.
func ExampleGracePeriod() {
	grace, err := systemd.GracePeriod(context.Background())
	if err != nil {
		slog.Warn("the grace period is not known", "error", err) // zero: it is guessed
	}
	os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{GracePeriod: grace}, start)))
}

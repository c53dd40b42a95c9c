// Job is the program of a Job in Kubernetes, which takes a minute.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/gracefulgo/shutdown"
)

const rows = 600

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	os.Exit(shutdown.ExitCode(shutdown.Run(shutdown.Config{}, start)))
}

func start(m *shutdown.Manager) error {
	m.Job("import", func(ctx context.Context) error {
		for row := range rows {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return fmt.Errorf("%d of %d rows: %w", row, rows, context.Cause(ctx))
			}
		}
		return nil
	})
	return nil
}

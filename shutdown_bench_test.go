package shutdown

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkShutdown measures a whole shutdown with four hooks, in real time.
func BenchmarkShutdown(b *testing.B) {
	for name, path := range map[string]string{"without a record": "", "with a record": filepath.Join(b.TempDir(), "record")} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				m, err := New(Config{
					GracePeriod: time.Minute, Record: path, LameDuck: -1, Signals: map[os.Signal]Action{}, Logger: slog.New(slog.DiscardHandler),
				})
				require.NoError(b, err)
				for _, p := range []Phase{Leave, Drain, Close, Close} {
					m.On(p, "hook", func(context.Context) error { return nil })
				}
				m.Begin(nil)
				require.NoError(b, m.Wait())
			}
		})
	}
}

package faults

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
)

// A brokenLogger blocks or panics after some lines.
type brokenLogger struct {
	slog.Handler
	how   string
	lines *atomic.Int64 // how many are still written
}

func newLogger(p Plan, w io.Writer) slog.Handler {
	text := slog.NewJSONHandler(w, nil)
	if p.Logger == "" {
		return text
	}
	l := brokenLogger{text, p.Logger, new(atomic.Int64)}
	l.lines.Store(int64(p.LoggerLines))
	return l
}

// Handle implements slog.Handler.
func (l brokenLogger) Handle(ctx context.Context, line slog.Record) error {
	if l.lines.Add(-1) >= 0 {
		return l.Handler.Handle(ctx, line)
	}
	if l.how == loggerBlocks {
		select {}
	}
	panic("the logger is broken")
}

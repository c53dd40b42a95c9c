package process

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"
)

// A logQueue writes log lines on a goroutine of its own, in order: a logger that
// blocks or panics must not keep a tree from being ended.
type logQueue struct {
	logger *slog.Logger // nil: slog.Default() when the line is written

	mu      sync.Mutex // protects what follows
	lines   []slog.Record
	dropped int
	writing chan struct{} // closed when lines is empty; nil if nobody writes
}

// A logger that has not taken one of so many lines will take none.
const maxLogLines = 256

func (q *logQueue) info(msg string, args ...any)  { q.add(slog.LevelInfo, msg, args) }
func (q *logQueue) warn(msg string, args ...any)  { q.add(slog.LevelWarn, msg, args) }
func (q *logQueue) error(msg string, args ...any) { q.add(slog.LevelError, msg, args) }

func (q *logQueue) add(level slog.Level, msg string, args []any) {
	var pc [1]uintptr
	runtime.Callers(3, pc[:]) // skips Callers, add and info
	line := slog.NewRecord(time.Now(), level, msg, pc[0])
	line.Add(args...)
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) >= maxLogLines {
		q.dropped++
		return
	}
	if q.dropped > 0 {
		line.Add("dropped_before", q.dropped)
		q.dropped = 0
	}
	q.lines = append(q.lines, line)
	if q.writing == nil {
		q.writing = make(chan struct{})
		go q.write()
	}
}

// write ends when there is nothing left to write; flush waits for it.
func (q *logQueue) write() {
	for {
		q.mu.Lock()
		if len(q.lines) == 0 {
			close(q.writing)
			q.writing = nil
			q.mu.Unlock()
			return
		}
		line := q.lines[0]
		q.lines = q.lines[1:]
		q.mu.Unlock()
		q.writeLine(line)
	}
}

func (q *logQueue) writeLine(line slog.Record) {
	defer func() { _ = recover() }() // a logger that panics has lost that line
	logger := q.logger
	if logger == nil {
		logger = slog.Default()
	}
	if h := logger.Handler(); h.Enabled(context.Background(), line.Level) {
		_ = h.Handle(context.Background(), line) // a log that fails has nowhere to say so
	}
}

// flush waits until everything has been written, for a moment at most.
func (q *logQueue) flush() {
	q.mu.Lock()
	writing := q.writing
	q.mu.Unlock()
	if writing == nil {
		return
	}
	timer := time.NewTimer(200 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-writing:
	case <-timer.C:
	}
}

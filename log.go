package shutdown

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"
)

// A logQueue writes log lines on a goroutine of its own, in order. A logger
// that blocks, panics or writes to a dead pipe therefore costs no deadline and
// no hook: add never waits, and flush waits for a bounded time.
type logQueue struct {
	logger *slog.Logger // nil: slog.Default() when the line is written

	mu      sync.Mutex // protects what follows
	lines   []slog.Record
	dropped int           // lines that found no place
	writing bool          // a goroutine is in write
	written chan struct{} // closed when lines is empty; made by flush
}

// A logger that has not taken one of so many lines will take none.
const maxLogLines = 1024

func (q *logQueue) info(msg string, args ...any)  { q.add(slog.LevelInfo, msg, args, maxLogLines) }
func (q *logQueue) warn(msg string, args ...any)  { q.add(slog.LevelWarn, msg, args, maxLogLines) }
func (q *logQueue) error(msg string, args ...any) { q.add(slog.LevelError, msg, args, maxLogLines) }

func (q *logQueue) at(level slog.Level, msg string, args ...any) {
	q.add(level, msg, args, maxLogLines)
}

// last is for the one line that always finds a place.
func (q *logQueue) last(level slog.Level, msg string, args ...any) {
	q.add(level, msg, args, maxLogLines+2)
}

func (q *logQueue) add(level slog.Level, msg string, args []any, most int) {
	var pc [1]uintptr
	runtime.Callers(3, pc[:]) // skips Callers, add and info
	line := slog.NewRecord(time.Now(), level, msg, pc[0])
	line.Add(args...)
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) >= most {
		q.dropped++
		return
	}
	if q.dropped > 0 {
		lost := slog.NewRecord(line.Time, slog.LevelWarn, "shutdown: the log is slow: lines dropped", pc[0])
		lost.Add("lines", q.dropped)
		q.lines, q.dropped = append(q.lines, lost), 0
	}
	q.lines = append(q.lines, line)
	if !q.writing {
		q.writing = true
		go q.write()
	}
}

// write ends when there is nothing left to write.
func (q *logQueue) write() {
	finished := false
	defer func() {
		if !finished { // the logger panicked or called Goexit: that line is lost
			_ = recover()
			go q.write()
		}
	}()
	for {
		q.mu.Lock()
		if len(q.lines) == 0 {
			q.writing = false
			if q.written != nil {
				close(q.written)
				q.written = nil
			}
			q.mu.Unlock()
			finished = true
			return
		}
		line := q.lines[0]
		q.lines = q.lines[1:]
		q.mu.Unlock()

		logger := q.logger
		if logger == nil {
			logger = slog.Default()
		}
		if h := logger.Handler(); h.Enabled(context.Background(), line.Level) {
			_ = h.Handle(context.Background(), line) // a log that fails has nowhere to say so
		}
	}
}

// flush waits until everything has been written, or for d, counted in wake-ups:
// where there is no CPU to spare they come as late as the goroutine that writes.
func (q *logQueue) flush(d time.Duration) {
	q.mu.Lock()
	if !q.writing {
		q.mu.Unlock()
		return
	}
	if q.written == nil {
		q.written = make(chan struct{})
	}
	written := q.written
	q.mu.Unlock()
	_ = closedWithin(written, d) // a log that is late is not waited for
}

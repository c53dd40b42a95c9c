// Package asynclog writes log lines in order on a goroutine of its own. A logger
// that blocks, panics or writes to a broken pipe therefore delays neither a
// deadline nor a hook. It knows nothing of what the lines say.
package asynclog

import (
	"context"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/internal/wakeups"
)

// MaxLines is how many lines a Queue holds. Lines that find no room are dropped and
// counted: a logger that has not taken one of so many lines will take none.
const MaxLines = 1024

// A Queue holds lines that are to be written. Its goroutine exists only while there
// are any. The zero value is ready for use.
type Queue struct {
	Logger *slog.Logger // nil means slog.Default() at the time when a line is written
	Prefix string       // of the line that says how many were dropped, such as "shutdown: "

	mu      sync.Mutex // protects what follows
	lines   []slog.Record
	dropped int
	writing bool          // a goroutine is in write
	written chan struct{} // closed when lines is empty; made by Flush
}

// Info adds a line. Like all methods that add one it does not block.
func (q *Queue) Info(msg string, args ...any) { q.add(slog.LevelInfo, msg, args, MaxLines) }

// Warn adds a line.
func (q *Queue) Warn(msg string, args ...any) { q.add(slog.LevelWarn, msg, args, MaxLines) }

// Error adds a line.
func (q *Queue) Error(msg string, args ...any) { q.add(slog.LevelError, msg, args, MaxLines) }

// Log adds a line of any level.
func (q *Queue) Log(level slog.Level, msg string, args ...any) { q.add(level, msg, args, MaxLines) }

// Last adds a line for which there is always room. It is for one line: the result.
func (q *Queue) Last(level slog.Level, msg string, args ...any) {
	q.add(level, msg, args, MaxLines+2) // and the line about those that were dropped
}

func (q *Queue) add(level slog.Level, msg string, args []any, most int) {
	var pc [1]uintptr
	runtime.Callers(3, pc[:]) // skips Callers, add and Info
	line := slog.NewRecord(time.Now(), level, msg, pc[0])
	line.Add(args...)
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) >= most {
		q.dropped++
		return
	}
	if q.dropped > 0 {
		lost := slog.NewRecord(line.Time, slog.LevelWarn, q.Prefix+"the log is slow: lines dropped", pc[0])
		lost.Add("lines", q.dropped)
		q.lines, q.dropped = append(q.lines, lost), 0
	}
	q.lines = append(q.lines, line)
	if !q.writing {
		q.writing = true
		go q.write()
	}
}

// write returns when there is nothing left to write.
func (q *Queue) write() {
	finished := false
	defer func() {
		if !finished { // the logger panicked or called Goexit: that line is lost
			_ = recover()
			go q.write()
		}
	}()
	for {
		line, ok := q.next()
		if !ok {
			finished = true
			return
		}
		logger := q.Logger
		if logger == nil {
			logger = slog.Default()
		}
		if h := logger.Handler(); h.Enabled(context.Background(), line.Level) {
			_ = h.Handle(context.Background(), line) // there is no other place to report a log that fails
		}
	}
}

func (q *Queue) next() (line slog.Record, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) > 0 {
		line, q.lines = q.lines[0], q.lines[1:]
		return line, true
	}
	q.writing = false
	if q.written != nil {
		close(q.written)
		q.written = nil
	}
	return slog.Record{}, false
}

// Flush waits until all lines are written, or for d, counted in wake-ups.
func (q *Queue) Flush(d time.Duration) {
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
	_ = wakeups.Await(written, d) // a log that is late is not waited for
}

// Writes reports whether function is what writes the lines, in the name of a frame.
func Writes(function string) bool {
	return strings.HasSuffix(function, "/internal/asynclog.(*Queue).write")
}

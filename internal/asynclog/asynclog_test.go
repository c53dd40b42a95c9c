package asynclog_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/asynclog"
)

// A handler keeps the lines that it is given, after it has called before.
type handler struct {
	before func(slog.Record)
	level  slog.Level

	mu    sync.Mutex // protects what follows
	lines []slog.Record
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }
func (h *handler) WithAttrs([]slog.Attr) slog.Handler               { return h }
func (h *handler) WithGroup(string) slog.Handler                    { return h }
func (h *handler) Handle(_ context.Context, line slog.Record) error {
	if h.before != nil {
		h.before(line)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, line)
	return nil
}

func (h *handler) all() []slog.Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]slog.Record(nil), h.lines...)
}

// messages are the lines with their attributes: "started pid=17".
func (h *handler) messages() (all []string) {
	for _, line := range h.all() {
		text := line.Message
		line.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
		all = append(all, text)
	}
	return all
}

func numbered(from, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint("line ", from+i))
	}
	return all
}

func TestLinesAreWrittenInTheOrderInWhichTheyWereAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{before: func(slog.Record) { time.Sleep(time.Millisecond) }} // slower than they come
		q := &asynclog.Queue{Logger: slog.New(h)}
		for i := range 100 {
			q.Info(fmt.Sprint("line ", i))
		}
		q.Flush(time.Minute)
		require.Equal(t, numbered(0, 100), h.messages())
		q.Info("line 100") // its goroutine had ended
		q.Flush(time.Minute)
		require.Equal(t, numbered(0, 101), h.messages())
	})
}

func TestALineHasItsLevelItsAttributesItsTimeAndItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{level: slog.LevelDebug, before: func(slog.Record) { time.Sleep(time.Second) }}
		q := &asynclog.Queue{Logger: slog.New(h)}
		added := time.Now()
		q.Info("line", "n", 1)
		q.Warn("line", "n", 2)
		q.Error("line", "n", 3)
		q.Log(slog.LevelDebug, "line", "n", 4)
		q.Last(slog.LevelError, "line", "n", 5)
		q.Flush(time.Minute)
		require.Equal(t, []string{"line n=1", "line n=2", "line n=3", "line n=4", "line n=5"}, h.messages())
		first := 0
		for i, level := range []slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError, slog.LevelDebug, slog.LevelError} {
			line := h.all()[i]
			require.Equal(t, level, line.Level)
			require.Equal(t, added, line.Time, "when it was added, and not when it was written")
			caller, _ := runtime.CallersFrames([]uintptr{line.PC}).Next()
			require.True(t, strings.HasSuffix(caller.File, "/asynclog_test.go"), caller.File)
			if i == 0 {
				first = caller.Line
			}
			require.Equal(t, first+i, caller.Line)
		}
	})
}

func TestLinesBelowTheLoggersLevelAreNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{level: slog.LevelWarn}
		q := &asynclog.Queue{Logger: slog.New(h)}
		q.Info("info")
		q.Warn("warn")
		q.Flush(time.Minute)
		require.Equal(t, []string{"warn"}, h.messages())
	})
}

// slog.SetDefault is often called after the Manager was made.
func TestWithoutALoggerItIsTheDefaultOneWhenALineIsWritten(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	synctest.Test(t, func(t *testing.T) {
		first, second := &handler{}, &handler{}
		first.before = func(slog.Record) { slog.SetDefault(slog.New(second)) }
		slog.SetDefault(slog.New(first))
		q := &asynclog.Queue{}
		q.Info("line 0")
		q.Info("line 1")
		q.Flush(time.Minute)
		require.Equal(t, []string{"line 0"}, first.messages())
		require.Equal(t, []string{"line 1"}, second.messages())
	})
}

func TestALoggerThatPanicsOrCallsGoexitLosesThatLineOnly(t *testing.T) {
	for name, fail := range map[string]func(){"panics": func() { panic("no log") }, "panics with nil": func() { panic(nil) }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &handler{before: func(line slog.Record) {
					if strings.HasPrefix(line.Message, "bad") {
						fail()
					}
				}}
				q := &asynclog.Queue{Logger: slog.New(h)}
				for _, line := range []string{"bad 0", "line 0", "bad 1", "bad 2", "line 1", "bad 3"} {
					q.Info(line)
				}
				q.Flush(time.Minute)
				require.Equal(t, numbered(0, 2), h.messages())
				q.Info("line 2")
				q.Flush(time.Minute)
				require.Equal(t, numbered(0, 3), h.messages())
			})
		})
	}
}

// blocked returns a Queue whose logger blocks in its first line, until release is called.
func blocked() (q *asynclog.Queue, h *handler, release func()) {
	block := make(chan struct{})
	h = &handler{before: func(slog.Record) { <-block }}
	q = &asynclog.Queue{Logger: slog.New(h)}
	q.Info("line 0")
	synctest.Wait() // it has left the queue
	return q, h, func() { close(block) }
}

func TestLinesThatFindNoRoomAreDroppedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, h, release := blocked()
		began := time.Now()
		for i := 1; i <= asynclog.MaxLines+17; i++ {
			q.Info(fmt.Sprint("line ", i))
		}
		require.Zero(t, time.Since(began), "adding a line does not block")
		release()
		q.Flush(time.Minute)
		require.Equal(t, numbered(0, asynclog.MaxLines+1), h.messages())

		q.Error("next")
		q.Error("and next")
		q.Flush(time.Minute)
		require.Equal(t, []string{"the log is slow: lines dropped lines=17", "next", "and next"}, h.messages()[asynclog.MaxLines+1:])
		require.Equal(t, slog.LevelWarn, h.all()[asynclog.MaxLines+1].Level)
	})
}

func TestTheLastLineAlwaysFindsRoom(t *testing.T) {
	for name, lines := range map[string]int{
		"in a full queue":                          asynclog.MaxLines,
		"when lines were dropped":                  asynclog.MaxLines + 3,
		"when that was said, and more are dropped": 2 * asynclog.MaxLines,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				step := make(chan struct{})
				h := &handler{before: func(slog.Record) { <-step }}
				q := &asynclog.Queue{Logger: slog.New(h)}
				n := 0
				add := func(count int) {
					for range count {
						q.Info(fmt.Sprint("line ", n))
						n++
					}
				}
				add(1)
				synctest.Wait()
				if strings.HasPrefix(name, "when that was said") {
					add(asynclog.MaxLines + 1)
					step <- struct{}{} // there is room for one line, and with it comes what was dropped
					synctest.Wait()
				}
				add(lines)
				q.Last(slog.LevelError, "the result")
				close(step)
				q.Flush(time.Minute)
				all := h.messages()
				require.Equal(t, "the result", all[len(all)-1])
				lines, dropped := 0, 0
				for _, line := range all[:len(all)-1] {
					var count int
					if _, err := fmt.Sscanf(line, "the log is slow: lines dropped lines=%d", &count); err == nil {
						dropped += count
						continue
					}
					lines++
				}
				require.Equal(t, n, lines+dropped, "each line was written or counted")
			})
		})
	}
}

func TestFlushReturnsWhenAllLinesAreWrittenOrWhenTheTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		new(asynclog.Queue).Flush(time.Minute)
		require.Zero(t, time.Since(began), "there is nothing to write")

		q, h, release := blocked()
		for range 3 {
			q.Flush(100 * time.Millisecond)
		}
		require.Equal(t, 300*time.Millisecond, time.Since(began))
		require.Empty(t, h.messages())
		q.Flush(0)
		require.Equal(t, 300*time.Millisecond, time.Since(began))

		time.AfterFunc(time.Second, release)
		q.Info("line 1")
		var flushed sync.WaitGroup
		for range 3 {
			flushed.Go(func() { q.Flush(time.Minute) })
		}
		flushed.Wait()
		require.Equal(t, 1300*time.Millisecond, time.Since(began))
		require.Equal(t, numbered(0, 2), h.messages())
	})
}

func TestManyGoroutinesAddLines(t *testing.T) {
	h := &handler{}
	q := &asynclog.Queue{Logger: slog.New(h)}
	var adding sync.WaitGroup
	for g := range 8 {
		adding.Go(func() {
			for i := range 100 {
				q.Info(fmt.Sprintf("%d %d", g, i))
			}
		})
	}
	adding.Wait()
	q.Flush(time.Minute)
	require.Len(t, h.messages(), 800)
	last := make(map[int]int)
	for _, line := range h.messages() {
		var g, i int
		_, err := fmt.Sscan(line, &g, &i)
		require.NoError(t, err)
		require.Equal(t, last[g], i)
		last[g]++
	}
}

func TestWritesKnowsTheFunctionThatWritesLines(t *testing.T) {
	var found bool
	h := &handler{before: func(slog.Record) {
		pcs := make([]uintptr, 100)
		frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
		for more := true; more; {
			var frame runtime.Frame
			frame, more = frames.Next()
			found = found || asynclog.Writes(frame.Function)
		}
	}}
	q := &asynclog.Queue{Logger: slog.New(h)}
	q.Info("line")
	q.Flush(time.Minute)
	require.Len(t, h.messages(), 1)
	require.True(t, found)
	require.False(t, asynclog.Writes("main.(*Queue).write"))
}

package shutdown_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

// maxLine bounds the length of a log line.
const maxLine = 8 << 10

// A logCheck writes each line as text and as JSON, and checks its attributes.
type logCheck struct {
	mu         sync.Mutex
	text, json bytes.Buffer
	wrong      []string
}

func (c *logCheck) Enabled(context.Context, slog.Level) bool { return true }
func (c *logCheck) WithAttrs([]slog.Attr) slog.Handler       { panic("not used") }
func (c *logCheck) WithGroup(string) slog.Handler            { panic("not used") }

func (c *logCheck) Handle(ctx context.Context, r slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool { c.check(r.Message, a); return true })
	return errors.Join(
		slog.NewTextHandler(&c.text, nil).Handle(ctx, r.Clone()),
		slog.NewJSONHandler(&c.json, nil).Handle(ctx, r.Clone()),
	)
}

// check allows strings, bools, integers, times, and numbers of seconds under a name that ends
// in _seconds.
func (c *logCheck) check(msg string, a slog.Attr) {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString, slog.KindBool, slog.KindInt64, slog.KindUint64, slog.KindTime:
	case slog.KindFloat64:
		if !strings.HasSuffix(a.Key, "_seconds") || math.IsNaN(v.Float64()) {
			c.wrong = append(c.wrong, fmt.Sprintf("%s: %s is %v, and its name has no unit", msg, a.Key, v))
		}
	case slog.KindGroup:
		for _, inner := range v.Group() {
			c.check(msg, inner)
		}
	default:
		c.wrong = append(c.wrong, fmt.Sprintf("%s: %s is a %v: %v", msg, a.Key, v.Kind(), v))
	}
}

// lines returns the JSON lines, decoded.
func (c *logCheck) lines(t *testing.T) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(c.json.String()) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m))
		lines = append(lines, m)
	}
	return lines
}

// panics is the signal whose Action panics. It is passed to Manager.Signal and never sent.
const panics = syscall.SIGALRM

var oneOfMany = regexp.MustCompile(`\b1 (tasks|connections|hooks|processes|lines|goroutines)\b`)

// Each is a run of a program from its start to its end.
var loggedRuns = map[string]struct {
	errors int // ERROR lines before the last: one for each cause
	run    func(t *testing.T, m *shutdown.Manager)
	result string
	check  func(t *testing.T, lines []map[string]any)
}{
	"a clean end": {result: "finished", run: func(_ *testing.T, m *shutdown.Manager) {
		m.On(shutdown.Close, "db", closeNothing)
		m.Begin(nil)
	}},
	"a timeout": {errors: 2, result: "timed out", run: func(_ *testing.T, m *shutdown.Manager) {
		_, _ = m.Track("GET /orders/17")
		m.On(shutdown.Drain, "broker", func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
		m.On(shutdown.Close, "collector", shutdown.BestEffort(time.Second, func(context.Context) error { return errors.New("refused") }))
		m.Go("consumer", func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("at offset 17: %w", ctx.Err()) })
		m.Begin(nil)
	}},
	"a forced end": {errors: 4, result: "forced", run: func(t *testing.T, m *shutdown.Manager) {
		_, _ = m.Track("GET /orders/17")
		release := make(chan struct{})
		t.Cleanup(func() { close(release) })
		m.On(shutdown.Drain, "broker", func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
		m.On(shutdown.Drain, "hangs", func(context.Context) error { <-release; return nil })
		m.Begin(nil)
		m.Force(shutdown.SignalError{Signal: os.Interrupt})
	}, check: func(t *testing.T, lines []map[string]any) {
		for _, line := range lines {
			require.NotContains(t, fmt.Sprint(line), "timed out", "it was forced")
		}
	}},
	"a failed start": {errors: 1, result: "finished with errors", run: func(_ *testing.T, m *shutdown.Manager) {
		m.Begin(errors.New("listen tcp :8080: bind: address already in use"))
	}, check: func(t *testing.T, lines []map[string]any) {
		require.Equal(t, "ERROR", lines[0]["level"], "at once")
		require.Contains(t, lines[0]["cause"], "address already in use")
	}},
	"60 hung handlers": {errors: 2, result: "timed out", run: hungHandlers, check: func(t *testing.T, lines []map[string]any) {
		all := fmt.Sprint(lines)
		require.Regexp(t, `60 x GET /sse \(oldest [\d.]+m?s\)`, all, "equal tasks are grouped")
		require.Contains(t, all, "60 tasks cut off: 60 x GET /sse")
		var stacks []map[string]any
		for _, line := range lines {
			if line["msg"] == "shutdown: stack" {
				stacks = append(stacks, line)
			}
		}
		require.NotEmpty(t, stacks)
		require.InDelta(t, 60, stacks[0]["goroutines"], 0, "equal stacks are one line, and what is stuck comes first: %v", stacks[0])
		require.Contains(t, stacks[0]["stack"], "hungHandlers")
	}},
	"work that is admitted too late": {errors: 1, result: "timed out", run: func(_ *testing.T, m *shutdown.Manager) {
		m.On(shutdown.Drain, "server", func(context.Context) error {
			<-m.WorkContext().Done()
			done, _ := m.Track("late")
			done()
			return nil
		})
		m.Begin(nil)
	}},
	"hostile text": {errors: -1, result: "timed out", run: func(_ *testing.T, m *shutdown.Manager) {
		hostile := strings.Repeat("\"\\\x00\xff\n\u202e\u2028 ü", 3_000)
		for i := range 500 {
			_, _ = m.Track(fmt.Sprint(i) + hostile[:3000])
		}
		for _, p := range []shutdown.Phase{shutdown.Leave, shutdown.Drain, shutdown.Close} {
			for range 12 {
				m.On(p, hostile, func(context.Context) error { return errors.New(hostile) })
			}
			m.On(p, "panics", func(context.Context) error { panic(hostile) })
		}
		m.Go(hostile, func(ctx context.Context) error { <-ctx.Done(); return errors.New(hostile) })
		m.Begin(errors.New(hostile))
		shutdown.Dump(m, os.Interrupt)
		m.Signal(panics)
	}},
}

func hungHandlers(t *testing.T, m *shutdown.Manager) {
	mux, release := http.NewServeMux(), make(chan struct{})
	var entered, left sync.WaitGroup
	entered.Add(60)
	left.Add(60)
	mux.HandleFunc("GET /sse", func(http.ResponseWriter, *http.Request) {
		defer left.Done()
		entered.Done()
		<-release
	})
	t.Cleanup(func() {
		close(release)
		left.Wait() // another test would see their stacks
	})
	ln, err := net.Listen("tcp", loopback.Addr())
	require.NoError(t, err)
	_, err = httpserver.Serve(m, &http.Server{Handler: mux}, ln)
	require.NoError(t, err)
	for range 60 {
		c, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		_, err = io.WriteString(c, "GET /sse HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
	}
	entered.Wait()
	m.Begin(nil)
}

func TestEveryLogLineIsReadableForOperatorsAndMachines(t *testing.T) {
	for name, test := range loggedRuns {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check := &logCheck{}
			cfg := shutdown.Config{
				GracePeriod: time.Minute, Timeout: 12 * time.Second, Reserve: 10 * time.Second, LameDuck: -1,
				Signals: map[os.Signal]shutdown.Action{panics: func(*shutdown.Manager, os.Signal) { panic(strings.Repeat("x", 100_000)) }},
				Logger:  slog.New(check),
			}
			m, err := shutdown.New(cfg)
			require.NoError(t, err)
			test.run(t, m)
			code := shutdown.ExitCode(m.Wait())
			shutdown.AwaitLog(m)
			check.mu.Lock()
			defer check.mu.Unlock()
			require.Empty(t, check.wrong)
			for _, log := range []string{check.text.String(), check.json.String()} {
				for line := range strings.Lines(log) {
					require.LessOrEqual(t, len(line), maxLine, "%.300s", line)
					require.NotRegexp(t, oneOfMany, line)
				}
			}
			lines := check.lines(t)
			require.Equal(t, "shutdown: started", lines[0]["msg"])
			last := lines[len(lines)-1]
			require.Equal(t, "shutdown: "+test.result, last["msg"])
			require.Equal(t, map[bool]string{true: "INFO", false: "ERROR"}[code == 0], last["level"])
			errorsBefore := 0
			for _, line := range lines[:len(lines)-1] {
				if line["level"] == "ERROR" {
					errorsBefore++
				}
				require.NotEqual(t, "done", line["phase"])
			}
			if test.errors >= 0 {
				require.Equal(t, test.errors, errorsBefore, "each cause is an ERROR when it happens: %s", check.text.String())
			} else {
				require.Greater(t, errorsBefore, 36)
			}
			requireSameNames(t, m, last)
			if test.check != nil {
				test.check(t, lines)
			}
		})
	}
}

// requireSameNames requires that attributes of the last line have the same name and unit in the
// JSON of the Report.
func requireSameNames(t *testing.T, m *shutdown.Manager, last map[string]any) {
	t.Helper()
	text, err := json.Marshal(m.Report())
	require.NoError(t, err)
	var report map[string]any
	require.NoError(t, json.Unmarshal(text, &report))
	logged, ok := last["report"].(map[string]any)
	require.True(t, ok)
	asSteps := map[string]bool{"leave": true, "drain": true, "close": true, "workers": true} // in JSON
	for name, value := range logged {
		if asSteps[name] {
			continue
		}
		require.Contains(t, report, name)
		if seconds, ok := value.(float64); ok {
			require.InDelta(t, seconds, report[name], 0.001)
		}
	}
}

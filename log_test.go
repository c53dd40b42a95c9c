package shutdown_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

func TestTheLogSaysWhatIsWaitedForOnceASecond(t *testing.T) {
	eventful(t, func(m *shutdown.Manager, log *testlog.Buffer) {
		_ = m.Wait()
		started := log.Lines(`msg="shutdown: started"`)
		require.Len(t, started, 1)
		for _, want := range []string{
			"cause=\"signal SIGINT\"", "uptime_seconds=60", "grace_period_seconds=30", "grace_source=Config.GracePeriod", "lame_duck_seconds=5",
			"timeout_seconds=27", "reserve_seconds=5.4", "in_flight=1",
			"work_ends=2000-01-01T00:01:19.600Z", "drain_ends=2000-01-01T00:01:21.600Z", "close_ends=2000-01-01T00:01:27.000Z", "kill_expected=2000-01-01T00:01:30.000Z",
		} {
			require.Contains(t, started[0], want)
		}
		require.NotContains(t, started[0], "advice", "nothing is guessed")
		waiting := log.Lines(`msg="shutdown: waiting"`)
		require.Len(t, waiting, 23)
		require.Contains(t, waiting[0], `phase=leave waiting_for="the end of the lame duck" in_flight=1 took_seconds=1 left_seconds=4`)
		require.Contains(t, waiting[9], `phase=drain waiting_for="GET /orders/{id} (1m10s), drain hook \"http :8080\" (5s)"`, "oldest first")
		require.Contains(t, waiting[9], "took_seconds=10 left_seconds=11.6", "to the end of Drain")
		require.Contains(t, waiting[22], "took_seconds=23 left_seconds=4", "to the end of Close")
		require.Contains(t, waiting[22], `phase=close waiting_for="close hook \"db\" (900ms)"`)
		left := log.Lines(`msg="shutdown: drain ends with work left"`)
		require.Len(t, left, 1)
		stacks := log.Lines(`msg="shutdown: stack"`)
		for len(stacks) > 1 && !strings.Contains(stacks[0], "report_test.go") {
			require.Contains(t, stacks[0], "runTracked", "only a hook that begins at that moment may come first")
			stacks = stacks[1:]
		}
		require.Contains(t, stacks[0], "report_test.go", "the stack of the hook that hangs")
		cut := log.Lines(`msg="shutdown: cut off"`)
		require.Len(t, cut, 1)
		require.Contains(t, cut[0], `level=ERROR`)
		require.Contains(t, cut[0], `cut_off="GET /orders/{id} (1m19.6s)"`)
		last := log.Lines(`msg="shutdown: timed out"`)
		require.Len(t, last, 1)
		for _, want := range []string{
			`report.leave="5s: consul 300ms"`, `report.drain="16.6s: http :8080 16.6s abandoned"`,
			`report.close="1.5s: metrics 500ms connection refused, db 1s"`, `report.unfinished="1 task: GET /orders/{id} (1m23.1s)"`, `report.cut_off="1 task: GET /orders/{id} (1m19.6s)"`,
		} {
			require.Contains(t, last[0], want)
		}
		require.Empty(t, log.Lines(`msg="shutdown: finished"`))
	})
}

func TestACleanEndIsNotLoggedAsTimedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, log := newManager(t, shutdown.Config{})
		m.Begin(nil)
		require.NoError(t, m.Wait())
		require.Len(t, log.Lines(`msg="shutdown: finished"`), 1)
		require.Empty(t, log.Lines("timed out"))
	})
}

func TestLogLinesAreBoundedHoweverMuchIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, log := newManager(t, shutdown.Config{})
		long := strings.Repeat("é", 1000)
		release := make(chan struct{})
		for i := range 5000 {
			_, _ = m.Track(fmt.Sprintf("GET /%d/%s", i, long))
		}
		for i := range 300 {
			p := shutdown.Phase(1 + i%3)
			m.On(p, fmt.Sprint("hook ", i, long), func(context.Context) error { <-release; return errors.New(long) })
		}
		m.Begin(errors.New(long))
		_ = m.Wait()
		close(release)
		waiting := log.Lines(`msg="shutdown: waiting"`)
		require.Contains(t, waiting[len(waiting)/2], "and ")
		require.Contains(t, waiting[len(waiting)/2], " more")
		require.Len(t, log.Lines(`msg="shutdown: timed out"`), 1)
		for _, line := range log.Lines("") {
			require.Less(t, len(line), 8<<10)
		}
	})
}

func TestABrokenLoggerDelaysNoDeadlineAndSkipsNoHook(t *testing.T) {
	hang := make(chan struct{})
	for name, handle := range map[string]func(){
		"blocks":       func() { <-hang },
		"panics":       func() { panic("broken") },
		"calls Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, _ := newManager(t, shutdown.Config{Logger: slog.New(brokenLog{handle})})
				hang = make(chan struct{})
				defer close(hang)
				release := make(chan struct{})
				defer close(release)
				file := stuck(t, m, release)
				m.Begin(nil)
				err := m.Wait()
				require.LessOrEqual(t, time.Since(m.Report().Begun), 27*time.Second)
				requireStuckNamed(t, m, err, file)
			})
		})
	}
}

type brokenLog struct{ handle func() }

func (brokenLog) Enabled(context.Context, slog.Level) bool    { return true }
func (b brokenLog) Handle(context.Context, slog.Record) error { b.handle(); return nil }
func (b brokenLog) WithAttrs([]slog.Attr) slog.Handler        { return b }
func (b brokenLog) WithGroup(string) slog.Handler             { return b }

// So the line is in the log even if the first hook ends the process.
func TestTheFirstLogLineIsWrittenBeforeTheFirstHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{}
		m, _ := newManager(t, shutdown.Config{Logger: slog.New(slog.NewTextHandler(log, nil))})
		var before string
		m.On(shutdown.Leave, "consul", func(context.Context) error { before = log.String(); return nil })
		m.Begin(nil)
		require.NoError(t, m.Wait())
		require.Contains(t, before, "shutdown: started")
	})
}

// A slowLog takes a millisecond for each line.
type slowLog struct{ testlog.Buffer }

func (l *slowLog) Write(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return l.Buffer.Write(p)
}

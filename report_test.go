package shutdown_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/prestop"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

// eventful is a shutdown in which something of everything happens.
func eventful(t *testing.T, then func(m *shutdown.Manager, log *testlog.Buffer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m, log := newManager(t, shutdown.Config{LameDuck: 5 * time.Second})
		sleep := func(d time.Duration, err error) func(context.Context) error {
			return func(context.Context) error { time.Sleep(d); return err }
		}
		release := make(chan struct{})
		defer close(release)
		m.On(shutdown.Close, "db", sleep(time.Second, nil))
		m.On(shutdown.Close, "metrics", sleep(500*time.Millisecond, errors.New("connection refused")))
		m.On(shutdown.Leave, "consul", sleep(300*time.Millisecond, nil))
		m.On(shutdown.Drain, "http :8080", func(context.Context) error { <-release; return nil })
		_, _ = m.Track("GET /orders/{id}")
		time.Sleep(time.Minute)
		m.Signal(os.Interrupt)
		synctest.Wait()
		then(m, log)
	})
}

func TestTheReportDrawsTheTimeline(t *testing.T) {
	eventful(t, func(m *shutdown.Manager, _ *testlog.Buffer) {
		_ = m.Wait()
		require.Equal(t, strings.TrimSpace(`
shutdown: timed out after 23.1s, cause: signal SIGINT
grace period 30s (Config.GracePeriod), timeout 27s, reserve 5.4s, lame duck 5s
cut off: 1 task: GET /orders/{id} (1m19.6s)
in flight when drain ended: 1 task: GET /orders/{id} (1m23.1s)
                             0------------------------------------------r----------T-----K
leave                        ===========                                :          :    : 5s
  consul                     #                                          :          :    : 300ms
drain                                  ==================================          :    : 16.6s shutdown: timed out: 1 task cut off: GET /orders/{id} (1m19.6s)
  http :8080                           ##################################          :    : 16.6s abandoned
close                                                                   ====       :    : 1.5s
  metrics                                                               ##         :    : 500ms connection refused
  db                                                                    :###       :    : 1s`), strings.Replace(m.Report().String(), "T----K", "T-----K", 1))
	})
}

func TestTheReportIsLiveWhileTheShutdownRuns(t *testing.T) {
	eventful(t, func(m *shutdown.Manager, _ *testlog.Buffer) {
		time.Sleep(100 * time.Millisecond)
		r := m.Report()
		require.Equal(t, shutdown.Leave, r.Phase)
		require.Equal(t, 100*time.Millisecond, r.Took)
		require.Equal(t, shutdown.Step{Phase: shutdown.Leave, Name: "consul", Took: 100 * time.Millisecond, Ends: 10800 * time.Millisecond, Running: true}, r.Steps[1])
		require.Equal(t, []shutdown.Step{
			{Phase: shutdown.Drain, Name: "http :8080", At: 5 * time.Second, Ends: 21600 * time.Millisecond},
			{Phase: shutdown.Close, Name: "metrics", At: 21600 * time.Millisecond, Ends: 26500 * time.Millisecond},
			{Phase: shutdown.Close, Name: "db", At: 26500 * time.Millisecond, Ends: 27 * time.Second},
		}, r.Pending, "in the order in which they will run")
		require.Equal(t, "GET /orders/{id}", r.Unfinished[0].Name)
		require.Contains(t, r.String(), "shutdown: in leave after 100ms")
		require.Contains(t, r.String(), "pending: drain http :8080, close metrics, close db")
		r.Steps[0].Name = "changed"
		require.NotEqual(t, "changed", m.Report().Steps[0].Name, "it is a copy")
		_ = m.Wait()
	})
}

// A name that a client chose, on a terminal or in a log.
func TestANameCannotForgeLinesOrMoveTheCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, log := newManager(t, shutdown.Config{})
		const evil = "x\nshutdown: finished\r\x1b[2J\u202e\xffü"
		const shown = "x\ufffdshutdown: finished\ufffd\ufffd[2J\ufffd\ufffdü"
		m.On(shutdown.Leave, "l "+evil, func(context.Context) error { return errors.New("e \x1b[31m\nmore") })
		m.On(shutdown.Close, evil, func(context.Context) error { return nil })
		_, _ = m.Track("t " + evil)
		m.Begin(errors.New("c \x07" + evil))
		time.Sleep(1500 * time.Millisecond)
		draining := m.Report()
		err := m.Wait()
		for _, r := range []shutdown.Report{draining, m.Report()} {
			text := r.String()
			for _, control := range []string{"\r", "\x1b", "\x07", "\u202e", "\xff"} {
				require.NotContains(t, text, control)
			}
			require.NotContains(t, text, "\nshutdown: finished", "no line of theirs")
			require.Contains(t, text, ": 1 task: t "+shown)
			require.Contains(t, text, "cause: c \ufffdx\n")
		}
		require.Contains(t, draining.String(), "pending: close "+shown)
		require.Contains(t, log.Lines(`msg="shutdown: waiting"`)[0], "t "+shown)
		require.ErrorContains(t, err, "1 task cut off: t "+shown)

		// To programs it is what it was, but for what is no UTF-8.
		text, err := json.Marshal(m.Report())
		require.NoError(t, err)
		var back shutdown.Report
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, "t "+strings.ToValidUTF8(evil, "\ufffd"), back.Unfinished[0].Name)
		require.Equal(t, m.Report().String(), back.String())
	})
}

func TestTheReportSurvivesJSON(t *testing.T) {
	eventful(t, func(m *shutdown.Manager, _ *testlog.Buffer) {
		_ = m.Wait()
		text, err := json.Marshal(m.Report())
		require.NoError(t, err)
		var fields map[string]any
		require.NoError(t, json.Unmarshal(text, &fields))
		require.Equal(t, "timed out", fields["result"])
		require.InDelta(t, 30, fields["grace_period_seconds"], 0)
		require.Equal(t, "signal SIGINT", fields["cause"])

		var back shutdown.Report
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, m.Report().String(), back.String())
		again, err := json.Marshal(back)
		require.NoError(t, err)
		require.JSONEq(t, string(text), string(again))

		require.ErrorContains(t, json.Unmarshal([]byte(`{"phase":"asleep"}`), &back), `unknown phase "asleep"`)
		require.Error(t, json.Unmarshal([]byte(`{"phase":`), &back))
	})
}

func TestAFinishedReportIsFinishedAlsoAfterJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newManager(t, shutdown.Config{})
		m.Signal(os.Interrupt)
		require.NoError(t, m.Wait())
		text, err := json.Marshal(m.Report())
		require.NoError(t, err)
		var back shutdown.Report
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, m.Report().String(), back.String())
		require.Contains(t, back.String(), "shutdown: finished after")
		require.NotContains(t, back.String(), "errors")
	})
}

func TestAPreStopIsARequestAlsoAfterJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, log := newManager(t, shutdown.Config{})
		m.Begin(prestop.Cause("10.1.2.3"))
		require.NoError(t, m.Wait())
		require.Len(t, log.Lines(`msg="shutdown: started" cause="preStop from 10.1.2.3"`), 1)
		text, err := json.Marshal(m.Report())
		require.NoError(t, err)
		var back shutdown.Report
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, m.Report().String(), back.String())
		require.Contains(t, back.String(), "shutdown: finished after")
		require.NotContains(t, back.String(), "errors")
	})
}

func TestAReportBeforeTheBeginningKnowsTheBudget(t *testing.T) {
	m, _ := newManager(t, shutdown.Config{})
	m.On(shutdown.Close, "db", func(context.Context) error { return nil })
	r := m.Report()
	require.Equal(t, shutdown.Running, r.Phase)
	require.Equal(t, 27*time.Second, r.Timeout)
	require.Equal(t, 5400*time.Millisecond, r.Reserve)
	require.Len(t, r.Pending, 1)
	require.Contains(t, r.String(), "shutdown: running")
}

func TestTheLogSaysWhatIsWaitedForOnceASecond(t *testing.T) {
	eventful(t, func(m *shutdown.Manager, log *testlog.Buffer) {
		_ = m.Wait()
		started := log.Lines(`msg="shutdown: started"`)
		require.Len(t, started, 1)
		for _, want := range []string{
			"cause=\"signal SIGINT\"", "uptime_seconds=60", "grace_period_seconds=30", "grace_source=Config.GracePeriod", "lame_duck_seconds=5",
			"timeout_seconds=27", "reserve_seconds=5.4", "in_flight=1",
			"drain_ends=2000-01-01T00:01:21.600Z", "close_ends=2000-01-01T00:01:27.000Z", "kill_expected=2000-01-01T00:01:30.000Z",
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

func TestFinishedAndTimedOutReadApart(t *testing.T) {
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

func TestALogThatDoesNotWorkCostsNoDeadlineAndNoHook(t *testing.T) {
	hang := make(chan struct{})
	for name, handle := range map[string]func(){
		"blocks":       func() { <-hang },
		"panics":       func() { panic("no log today") },
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

package shutdown_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/prestop"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

// eventful runs a shutdown in which hooks succeed, fail and hang and work is cut off.
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
		_, _ = m.TrackAs("http", "GET /orders/{id}")
		m.AddTraffic(shutdown.Traffic{Kind: "http", RequestsWhileLeaving: 2})
		m.AddTraffic(shutdown.Traffic{Kind: "grpc", ConnectionsClosed: 3})
		m.AddTraffic(shutdown.Traffic{Kind: "http", ConnectionsClosed: 4})
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

// Clients choose names, which are then printed to terminals and logs.
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
			require.NotContains(t, text, "\nshutdown: finished", "no forged line")
			require.Contains(t, text, ": 1 task: t "+shown)
			require.Contains(t, text, "cause: c \ufffdx\n")
		}
		require.Contains(t, draining.String(), "pending: close "+shown)
		require.Contains(t, log.Lines(`msg="shutdown: waiting"`)[0], "t "+shown)
		require.ErrorContains(t, err, "1 task cut off: t "+shown)

		// JSON keeps all of a name that is valid UTF-8.
		text, err := json.Marshal(m.Report())
		require.NoError(t, err)
		var back shutdown.Report
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, "t "+strings.ToValidUTF8(evil, "\ufffd"), back.Unfinished[0].Name)
		require.Equal(t, m.Report().String(), back.String())
	})
}

func TestAReportReadFromJSONIsTheSame(t *testing.T) {
	eventful(t, func(m *shutdown.Manager, _ *testlog.Buffer) {
		_ = m.Wait()
		text, err := json.Marshal(m.Report())
		require.NoError(t, err)
		var fields map[string]any
		require.NoError(t, json.Unmarshal(text, &fields))
		require.Equal(t, "timed out", fields["result"])
		require.InDelta(t, 30, fields["grace_period_seconds"], 0)
		require.Equal(t, "signal SIGINT", fields["cause"])
		require.Equal(t, []any{
			map[string]any{"kind": "http", "requests_while_leaving": 2., "connections_closed": 4.},
			map[string]any{"kind": "grpc", "requests_while_leaving": 0., "connections_closed": 3.},
		}, fields["traffic"])
		require.Equal(t, "http", fields["cut_off"].([]any)[0].(map[string]any)["kind"])

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

func TestAFinishedReportReadFromJSONIsFinished(t *testing.T) {
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

func TestAPreStopCauseReadFromJSONIsARequest(t *testing.T) {
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

func TestAReportBeforeTheShutdownHasTheBudget(t *testing.T) {
	m, _ := newManager(t, shutdown.Config{})
	m.On(shutdown.Close, "db", func(context.Context) error { return nil })
	r := m.Report()
	require.Equal(t, shutdown.Running, r.Phase)
	require.Equal(t, 27*time.Second, r.Timeout)
	require.Equal(t, 5400*time.Millisecond, r.Reserve)
	require.Len(t, r.Pending, 1)
	require.Contains(t, r.String(), "shutdown: running")
}

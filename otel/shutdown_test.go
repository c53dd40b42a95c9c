package otelshutdown_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	otelshutdown "github.com/gracefulgo/shutdown/otel"
)

func TestMetricsAndTraceOfACleanEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newTelemetry()
		m := newManager(t, shutdown.Config{LameDuck: 5 * time.Second})
		require.NoError(t, otelshutdown.Start(m, o.options()))
		m.On(shutdown.Close, "db", sleep(time.Second, nil))
		m.On(shutdown.Leave, "registry", sleep(time.Second, nil))
		m.On(shutdown.Drain, "http :8080", sleep(3*time.Second, nil))
		first, _ := m.TrackAs("http", "GET /orders/17")
		second, _ := m.TrackAs("http", "GET /orders/18")
		third, _ := m.Track("import")
		require.Equal(t, "tasks.in_flight kind=http 2\ntasks.in_flight kind=track 1\n", o.metrics(t))
		third()
		require.Equal(t, "tasks.in_flight kind=http 2\ntasks.in_flight kind=track 0\n", o.metrics(t))

		m.Begin(nil)
		time.Sleep(500 * time.Millisecond)
		first()
		m.AddTraffic(shutdown.Traffic{Kind: "http", RequestsWhileLeaving: 3})
		require.Equal(t, `connections_closed kind=http 0
hook.duration hook.name=registry hook.result=running phase=leave 0.5s
phase.duration phase=leave 0.5s
requests_while_leaving kind=http 3
tasks.in_flight kind=http 1
tasks.in_flight kind=track 0
`, o.metrics(t))

		time.Sleep(6 * time.Second)
		m.AddTraffic(shutdown.Traffic{Kind: "http", ConnectionsClosed: 2})
		require.Equal(t, `connections_closed kind=http 2
hook.duration hook.name=http :8080 hook.result=running phase=drain 1.5s
hook.duration hook.name=registry hook.result=finished phase=leave 1s
phase.duration phase=drain 1.5s
phase.duration phase=leave 5s
requests_while_leaving kind=http 3
tasks.in_flight kind=http 1
tasks.in_flight kind=track 0
`, o.metrics(t))
		second()

		require.NoError(t, m.Wait())
		require.Equal(t, `connections_closed kind=http 2
duration result=finished 9s
hook.duration hook.name=db hook.result=finished phase=close 1s
hook.duration hook.name=http :8080 hook.result=finished phase=drain 3s
hook.duration hook.name=registry hook.result=finished phase=leave 1s
phase.duration phase=close 1s
phase.duration phase=drain 3s
phase.duration phase=leave 5s
requests_while_leaving kind=http 3
tasks.in_flight kind=http 0
tasks.in_flight kind=track 0
`, o.pushed.last)
		require.Equal(t, `shutdown 0s-9s
  leave 0s-5s
    leave registry 0s-1s
  drain 5s-8s
    drain http :8080 5s-8s
  close 8s-9s
    close db 8s-9s
`, o.traceText(t))
		require.Equal(t, " result=finished grace_period=30 timeout=27", attributesText(o.root(t).Attributes))
		require.Equal(t, m.Report().Begun.UnixNano(), o.root(t).StartTime.UnixNano())
	})
}

func TestMetricsAndTraceOfATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newTelemetry()
		m := newManager(t, shutdown.Config{})
		require.NoError(t, otelshutdown.Start(m, o.options()))
		m.On(shutdown.Close, "db", sleep(time.Hour, nil)) // the reserve is for this one, but not all of it
		m.On(shutdown.Drain, "http :8080", sleep(time.Hour, nil))
		for _, name := range []string{"GET /a", "GET /b", "GET /b", "GET /c", "GET /d", "GET /e", "GET /f"} {
			_, _ = m.TrackAs("http", name)
		}
		m.Begin(shutdown.SignalError{Signal: signal{}})
		require.ErrorIs(t, m.Wait(), shutdown.ErrTimeout)
		require.LessOrEqual(t, m.Report().Took, 27*time.Second)
		// The hook of the database leaves 500 ms for the export.
		require.Equal(t, `shutdown 0s-26.48s Error: timed out
* work was cut off 19.6s cut_off.count=7 cut_off.tasks=["GET /a","GET /b","GET /c","GET /d","GET /e"]
  leave 0s-0s
  drain 0s-21.6s Error: shutdown: timed out: 7 tasks cut off: GET /a (19.6s), 2 x GET /b (oldest 19.6s), GET /c (19.6s), GET /d (19.6s), GET /e (19.6s), GET /f (19.6s)
    drain http :8080 0s-21.6s Error: did not return in time and was abandoned
  close 21.6s-26.48s
    close db 21.6s-26.48s Error: did not return in time and was abandoned
`, o.traceText(t))
		require.Equal(t, `duration result=timed out 26.48s
hook.duration hook.name=db hook.result=abandoned phase=close 4.88s
hook.duration hook.name=http :8080 hook.result=abandoned phase=drain 21.6s
phase.duration phase=close 4.88s
phase.duration phase=drain 21.6s
phase.duration phase=leave 0s
tasks.cut_off kind=http 7
tasks.in_flight kind=http 7
`, o.pushed.last)
		time.Sleep(2 * time.Hour)
	})
}

func TestMetricsAndTraceOfAForcedEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newTelemetry()
		m := newManager(t, shutdown.Config{})
		require.NoError(t, otelshutdown.Start(m, o.options()))
		m.On(shutdown.Close, "db", sleep(time.Second, nil))
		m.On(shutdown.Drain, "http :8080", func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
		_, _ = m.Track("import")
		_, _ = m.TrackAs("http", "GET /sse")
		m.Begin(nil)
		time.Sleep(2 * time.Second)
		m.Force(errors.New("second signal"))
		require.ErrorIs(t, m.Wait(), shutdown.ErrForced)
		require.Equal(t, `shutdown 0s-3.1s Error: forced
* work was cut off 2s cut_off.count=2 cut_off.tasks=["import","GET /sse"]
  leave 0s-0s
  drain 0s-2.1s Error: shutdown: forced: 2 tasks cut off: import (2s), GET /sse (2s)
    drain http :8080 0s-2s Error: shutdown: forced: second signal
  close 2.1s-3.1s
    close db 2.1s-3.1s
`, o.traceText(t))
		require.Contains(t, attributesText(o.root(t).Attributes), " forced=shutdown: forced: second signal")
		require.Contains(t, o.pushed.last, "duration result=forced 3.1s\n")
		require.Contains(t, o.pushed.last, "tasks.cut_off kind=http 1\ntasks.cut_off kind=track 1\n")
	})
}

func TestFailuresAreMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newTelemetry()
		m := newManager(t, shutdown.Config{})
		require.NoError(t, otelshutdown.Start(m, o.options()))
		m.On(shutdown.Close, "metrics", shutdown.BestEffort(time.Second, sleep(time.Hour, nil)))
		m.On(shutdown.Close, "mail", shutdown.BestEffort(time.Second, sleep(0, errors.New("refused"))))
		m.On(shutdown.Close, "db", sleep(0, errors.New("disk full")))
		m.Go("consumer", func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			return errors.New("lost its lock")
		})
		m.Job("import", func(context.Context) error { time.Sleep(time.Minute); return errors.New("row 7") })
		require.Error(t, m.Wait())
		require.Equal(t, `shutdown 0s-2s Error: finished with errors
* job failed 0s kind=job worker.name=import worker.error=row 7
* worker failed 1s kind=worker worker.name=consumer worker.error=lost its lock
  leave 0s-0s
  drain 0s-1s
  close 1s-2s
    close db 1s-1s Error: disk full
    close mail 1s-1s Error: refused
    close metrics 1s-2s Error: did not return in time and was abandoned
`, o.traceText(t))
		require.Contains(t, attributesText(o.root(t).Attributes), " cause=shutdown: job \"import\": row 7")
		require.Contains(t, o.pushed.last, `hook.duration hook.name=db hook.result=failed phase=close 0s
hook.duration hook.name=mail hook.result=failed (best effort) phase=close 0s
hook.duration hook.name=metrics hook.result=abandoned (best effort) phase=close 1s
`)
		time.Sleep(2 * time.Hour)
	})
}

type signal struct{}

func (signal) String() string { return "SIGTERM" }
func (signal) Signal()        {}

package otelshutdown_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/gracefulgo/shutdown"
	otelshutdown "github.com/gracefulgo/shutdown/otel"
)

func TestTheNumberOfSeriesAndSpansIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newTelemetry()
		m := newManager(t, shutdown.Config{})
		require.NoError(t, otelshutdown.Start(m, o.options()))
		for i := range 1000 {
			m.On(shutdown.Close, fmt.Sprint("hook ", i), sleep(0, nil))
			_, _ = m.TrackAs(fmt.Sprint("kind ", i), fmt.Sprint("GET /orders/", i))
			m.Go(fmt.Sprint("worker ", i), func(context.Context) error { <-m.Reached(shutdown.Drain); return errors.New("boom") })
			m.AddTraffic(shutdown.Traffic{Kind: fmt.Sprint("kind ", i), RequestsWhileLeaving: 1})
		}
		m.Begin(nil)
		require.Error(t, m.Wait())

		lines := strings.Split(strings.TrimSuffix(o.pushed.last, "\n"), "\n")
		count := func(name string) (n int) {
			for _, line := range lines {
				if strings.HasPrefix(line, name) {
					n++
				}
			}
			return n
		}
		require.Equal(t, 21, count("tasks.in_flight "))
		require.Equal(t, 21, count("tasks.cut_off "))
		require.Equal(t, 21, count("requests_while_leaving "))
		require.Equal(t, 101, count("hook.duration "))
		require.Contains(t, lines, "tasks.in_flight kind=_OTHER 980")
		require.Contains(t, lines, "tasks.cut_off kind=_OTHER 980")
		require.Contains(t, lines, "requests_while_leaving kind=_OTHER 980")
		require.NotContains(t, o.pushed.last, "/orders/")

		require.Len(t, o.spans.GetSpans(), 1+3+256)
		require.Contains(t, attributesText(o.root(t).Attributes), "hooks.omitted=744")
		require.Len(t, o.root(t).Events, 128, "the limit of the SDK")
	})
}

func TestOfHooksWithTheSameNameTheLongestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newTelemetry()
		m := newManager(t, shutdown.Config{})
		require.NoError(t, otelshutdown.Start(m, o.options()))
		for _, d := range []time.Duration{time.Second, 3 * time.Second, 2 * time.Second} {
			m.On(shutdown.Drain, "http", sleep(d, nil))
		}
		m.Begin(nil)
		require.NoError(t, m.Wait())
		require.Equal(t, 1, strings.Count(o.pushed.last, "hook.name=http"))
		require.Contains(t, o.pushed.last, "hook.name=http hook.result=finished phase=drain 3s\n")
	})
}

// OTLP refuses a whole request for a string in it that is not UTF-8.
func TestNamesAndErrorsAreShortAndValidUTF8(t *testing.T) {
	for _, bad := range []string{"GET /\xff\xfe", strings.Repeat("ü", 5000), "a" + strings.Repeat("ü", 5000)} {
		synctest.Test(t, func(t *testing.T) {
			o := newTelemetry()
			m := newManager(t, shutdown.Config{})
			require.NoError(t, otelshutdown.Start(m, o.options()))
			m.On(shutdown.Close, bad, sleep(0, errors.New(bad)))
			_, _ = m.TrackAs(bad, bad)
			m.Go(bad, func(context.Context) error { <-m.Reached(shutdown.Drain); return errors.New(bad) })
			m.AddTraffic(shutdown.Traffic{Kind: bad})
			m.Begin(errors.New(bad))
			require.Error(t, m.Wait())
			require.Equal(t, 9, strings.Count(o.pushed.last, "\n"), "%s", o.pushed.last)
			require.True(t, utf8.ValidString(o.pushed.last))
			check := func(attributes []attribute.KeyValue) {
				for _, a := range attributes {
					text := a.Value.String()
					require.True(t, utf8.ValidString(text), "%s", a.Key)
					require.LessOrEqual(t, len(text), 2<<10, "%s", a.Key)
				}
			}
			for _, s := range o.spans.GetSpans() {
				require.True(t, utf8.ValidString(s.Name+s.Status.Description))
				require.LessOrEqual(t, len(s.Name), 110)
				require.LessOrEqual(t, len(s.Status.Description), 2<<10)
				check(s.Attributes)
				for _, e := range s.Events {
					check(e.Attributes)
				}
			}
		})
	}
}

func TestScrapesDuringAShutdownDoNotRace(t *testing.T) {
	o := newTelemetry()
	m := newManager(t, shutdown.Config{})
	require.NoError(t, otelshutdown.Start(m, o.options()))
	for i := range 20 {
		m.On(shutdown.Close, fmt.Sprint("hook ", i), sleep(time.Millisecond, nil))
		done, _ := m.TrackAs(fmt.Sprint("kind ", i), "GET /")
		m.On(shutdown.Drain, "server", func(context.Context) error { m.AddTraffic(shutdown.Traffic{Kind: "http"}); done(); return nil })
	}
	var scrapes sync.WaitGroup
	for range 2 {
		scrapes.Go(func() {
			for m.Phase() < shutdown.Done {
				_ = o.scrape.Collect(t.Context(), &metricdata.ResourceMetrics{})
			}
		})
	}
	m.Begin(nil)
	require.NoError(t, m.Wait())
	scrapes.Wait()
}

// A scrape must not cost more than the requests in flight themselves.
func BenchmarkScrape(b *testing.B) {
	for _, tasks := range []int{0, 100, 10_000} {
		b.Run(fmt.Sprint(tasks, " tasks"), func(b *testing.B) {
			o := newTelemetry()
			m := newManager(b, shutdown.Config{})
			require.NoError(b, otelshutdown.Start(m, o.options()))
			for range tasks {
				done, _ := m.TrackAs("http", "GET /orders/{id}")
				defer done()
			}
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, o.scrape.Collect(b.Context(), &metricdata.ResourceMetrics{}))
			}
			m.Force(nil)
			_ = m.Wait()
		})
	}
}

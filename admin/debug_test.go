package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
)

// page returns the text of the status page, without its tags.
func page(t *testing.T, h http.Handler) string {
	t.Helper()
	w := call(t.Context(), h, http.MethodGet, "/debug/shutdown")
	require.Equal(t, http.StatusOK, w.Code)
	return withoutTags(w.Body.String())
}

func withoutTags(html string) string {
	_, body, _ := strings.Cut(html, "<main>")
	return strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(body, " ")), " ")
}

func TestTheStatusPageShowsThePlannedTimesAndThenTheActualTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, shutdown.Config{GracePeriod: 30 * time.Second, LameDuck: 5 * time.Second})
		h := admin.Handler(m, admin.Options{Debug: true})
		m.On(shutdown.Close, "db", sleep(time.Second))
		m.On(shutdown.Close, "metrics", func(context.Context) error { time.Sleep(time.Second); return errors.New("first line\nsecond line") })
		m.On(shutdown.Drain, "http :8080", sleep(time.Minute))
		m.On(shutdown.Leave, "consul", sleep(time.Second))
		m.Go("job", func(context.Context) error { time.Sleep(7 * time.Second); return errors.New("row 17") })
		_, _ = m.Track("GET /orders/{id}")
		time.Sleep(time.Second)
		for _, want := range []string{
			"Starting Not ready: Wait has not been called.",
			"lame duck 5 s drain, at most 16.6 s close, reserved 5.4 s margin 3 s SIGKILL",
			"Leave all at once consul up to 10.8 s Drain all at once http :8080 up to 16.6 s",
			"Close one after another metrics at least 4.9 s db at least 500 ms",
			"In flight 2", "GET /orders/{id} 1 s",
			"Grace period 30 s Config.GracePeriod",
		} {
			require.Contains(t, page(t, h), want)
		}

		m.Begin(nil)
		time.Sleep(2 * time.Second)
		for _, want := range []string{
			"Leaving Waiting for the end of the lame duck in 3 s. Cause: requested.",
			"2 s since the shutdown started 25 s until the timeout 28 s until SIGKILL",
			"Leave 2 s consul 1 s Drain all at once http :8080 up to 16.6 s",
		} {
			require.Contains(t, page(t, h), want)
		}
		time.Sleep(5 * time.Second)
		for _, want := range []string{
			"Draining Waiting for http :8080; 1 in flight, the oldest GET /orders/{id}.",
			"Workers job 6 s, failed row 17", "http :8080 2 s of 16.6 s",
		} {
			require.Contains(t, page(t, h), want)
		}
		time.Sleep(15100 * time.Millisecond)
		for _, want := range []string{
			"Closing Waiting for metrics.", "http :8080 16.6 s, abandoned",
			"metrics 500 ms of 4.9 s db at least 500 ms",
			"In flight when Drain ended 1 GET /orders/{id} 23.1 s",
		} {
			require.Contains(t, page(t, h), want)
		}
		_ = m.Wait()
		for _, want := range []string{
			"Timed out The shutdown took 23.6 s. SIGKILL was expected 6.4 s later. Cause: requested. 1 task was cut off.",
			"metrics 1 s, failed first line the whole error first line second line db 1 s",
		} {
			require.Contains(t, page(t, h), want)
		}
		time.Sleep(time.Minute)
	})
}

func TestTheStatusPageShowsALameDuckOnceThereIsADrainHook(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	m := manager(t, shutdown.Config{})
	h := admin.Handler(m, admin.Options{Debug: true})
	require.Contains(t, page(t, h), "The grace period is a guess, and so is the time of SIGKILL. Set SHUTDOWN_GRACE_PERIOD")
	require.NotContains(t, page(t, h), "lame duck", "there is no Drain hook yet")
	m.On(shutdown.Drain, "http", sleep(0))
	require.Contains(t, page(t, h), "lame duck 5 s")
}

func TestTheStatusPageOfAForcedShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		h := admin.Handler(m, admin.Options{Debug: true})
		m.On(shutdown.Close, "db", sleep(time.Second))
		m.On(shutdown.Close, "cache", sleep(time.Second))
		m.Force(errors.New("the disk is gone\nsector 7"))
		time.Sleep(500 * time.Millisecond)
		require.Contains(t, page(t, h), "Closing Waiting for cache. Cause: the disk is gone. shutdown: forced: the disk is gone sector 7")
		require.Contains(t, page(t, h), "Close 500 ms cache 500 ms db", "the time of db is not known")
		_ = m.Wait()
		require.Contains(t, page(t, h), "Forced The shutdown took 2 s")
	})
}

func TestTheSizeOfTheStatusPageIsLimitedWithManyTasksInFlight(t *testing.T) {
	m := manager(t, shutdown.Config{})
	for i := range 10_000 {
		_, _ = m.Track(fmt.Sprintf("GET /%d/%s", i, strings.Repeat("x", 200)))
	}
	h := admin.Handler(m, admin.Options{Debug: true})
	w := call(t.Context(), h, http.MethodGet, "/debug/shutdown")
	require.Less(t, w.Body.Len(), 100_000)
	require.Contains(t, page(t, h), "In flight 10000")
	require.Contains(t, page(t, h), "and 9950 younger")
}

func TestTheSizeOfTheStatusPageIsLimitedWithLongNamesAndErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("x", 1<<20)
		m := manager(t, shutdown.Config{})
		for i := range 100 {
			_, _ = m.Track(fmt.Sprint("task ", i, long))
		}
		fails := func(context.Context) error { return errors.New("broken" + long) }
		m.On(shutdown.Leave, "leave"+long, fails)
		m.On(shutdown.Close, "close"+long, fails)
		h := admin.Handler(m, admin.Options{Debug: true})
		size := func() int { return call(t.Context(), h, http.MethodGet, "/debug/shutdown").Body.Len() }
		require.Less(t, size(), 100_000)
		m.Begin(errors.New("cause" + long))
		time.Sleep(time.Second)
		require.Less(t, size(), 200_000)
		require.Contains(t, page(t, h), "task 0xxx")
		m.Force(errors.New("enough" + long))
		_ = m.Wait()
		require.Less(t, size(), 200_000)
		require.Contains(t, page(t, h), "failed brokenxxx")
	})
}

// A right-to-left override in a name would reverse the text that follows it.
func TestTheStatusPageEscapesNamesAndReplacesBidirectionalControls(t *testing.T) {
	m := manager(t, shutdown.Config{})
	for _, name := range []string{"\u202egnp.exe", "caf\xe9 \u2066", "<b>bold"} {
		_, _ = m.Track(name)
		m.On(shutdown.Close, name, sleep(0))
	}
	h := admin.Handler(m, admin.Options{Debug: true})
	w := call(t.Context(), h, http.MethodGet, "/debug/shutdown")
	require.True(t, utf8.Valid(w.Body.Bytes()))
	require.NotContains(t, w.Body.String(), "\u202e")
	require.NotContains(t, w.Body.String(), "\u2066")
	require.Equal(t, 2, strings.Count(w.Body.String(), "&lt;b&gt;bold"))
	require.Equal(t, 2, strings.Count(w.Body.String(), "\ufffdgnp.exe"))
	require.Equal(t, 2, strings.Count(w.Body.String(), "caf\ufffd \ufffd"))
}

func TestTheStatusPageShowsHowLongAdminHasRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := admin.Handler(manager(t, shutdown.Config{}), admin.Options{Debug: true})
		time.Sleep(90 * time.Second)
		w := call(t.Context(), h, http.MethodGet, "/debug/shutdown")
		require.Contains(t, w.Body.String(), "<span>admin up 1 min 30 s</span>")
	})
}

func TestTheDocumentationListsEveryFieldOfTheJSON(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		h := admin.Handler(m, admin.Options{Debug: true})
		fails := func(context.Context) error { time.Sleep(time.Second); return errors.New("broken") }
		m.Job("job", fails)
		m.On(shutdown.Drain, "hangs", sleep(time.Minute))
		m.On(shutdown.Close, "fails", fails)
		m.On(shutdown.Close, "best effort", shutdown.BestEffort(time.Second, fails))
		_, _ = m.Track("GET /")
		m.Begin(errors.New("cause"))
		found := map[string]bool{}
		var list func(v any)
		list = func(v any) {
			switch v := v.(type) {
			case map[string]any:
				for key, value := range v {
					found[key] = true
					list(value)
				}
			case []any:
				for _, value := range v {
					list(value)
				}
			}
		}
		for second := range 60 {
			if second == 23 { // in Close
				m.Force(errors.New("forced"))
			}
			list(status(t, h))
			time.Sleep(time.Second)
		}
		for _, key := range []string{"forced", "cut_off_at", "ends_seconds", "kind", "error", "running", "abandoned", "best_effort"} {
			require.True(t, found[key], "%s: the test is to cover all fields", key)
		}
		for key := range found {
			require.Regexp(t, `(?m)^//	`+key+` |\b`+key+`, the time`, string(doc))
		}
	})
}

func TestTheAcceptHeaderSelectsJSONOrHTML(t *testing.T) {
	m := manager(t, shutdown.Config{})
	m.On(shutdown.Close, "db", sleep(0))
	_, _ = m.Track("<script>alert(1)</script>")
	h := admin.Handler(m, admin.Options{Debug: true})
	for accept, json := range map[string]bool{
		"application/json":                  true,
		"application/json, */*":             true, // axios
		"text/html;q=0.5, application/json": true,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": false, // a browser
		"*/*": false, // curl
		"":    false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/debug/shutdown", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if json {
			require.Equal(t, "application/json", w.Header().Get("Content-Type"), accept)
			requireReport(t, w.Body.Bytes())
		} else {
			require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"), accept)
			require.NotContains(t, w.Body.String(), "<script", "the name of a task is escaped")
		}
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		require.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-")
	}
}

func requireReport(t *testing.T, text []byte) {
	t.Helper()
	var report shutdown.Report
	require.NoError(t, json.Unmarshal(text, &report))
	require.Equal(t, shutdown.Running, report.Phase)
	require.Equal(t, "db", report.Pending[0].Name)
	require.Equal(t, "<script>alert(1)</script>", report.Unfinished[0].Name, "tasks in flight while Running are included")
}

package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
)

// status returns the status as JSON.
func status(t *testing.T, h http.Handler) map[string]any {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/debug/shutdown", nil)
	r.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &fields))
	return fields
}

// element returns the element of a list in the JSON that has this name.
func element(t *testing.T, list any, name string) map[string]any {
	t.Helper()
	all, _ := list.([]any)
	for _, one := range all {
		if fields, ok := one.(map[string]any); ok && fields["name"] == name {
			return fields
		}
	}
	require.FailNow(t, "no "+name, "%v", list)
	return nil
}

// With a grace period of 30 s Drain ends after 21.6 s, and WorkContext 2 s before that.
func TestTheStatusPageListsCutOffTasksSeparatelyFromTasksInFlight(t *testing.T) {
	for name, test := range map[string]struct {
		end    func(m *shutdown.Manager, finish func()) // returns when WorkContext has ended or the tasks have finished
		ages   string
		during string
		result string
	}{
		"by the deadline": {
			func(m *shutdown.Manager, _ func()) { m.Begin(nil); <-m.WorkContext().Done() },
			"10 x GET /sse (oldest 21.6 s) GET /orders/{id} (20.6 s) admitted later (0)", "Draining", "timed out",
		},
		"by force": {
			func(m *shutdown.Manager, _ func()) {
				m.Begin(nil)
				time.Sleep(5 * time.Second)
				m.Force(errors.New("enough"))
			},
			"10 x GET /sse (oldest 7 s) GET /orders/{id} (6 s) admitted later (0)", "Draining", "forced",
		},
		"not if it ends in time": {
			func(m *shutdown.Manager, finish func()) {
				m.Begin(nil)
				time.Sleep(5 * time.Second)
				finish()
			},
			"", "", "finished",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := manager(t, shutdown.Config{GracePeriod: 30 * time.Second})
				h := admin.Handler(m, admin.Options{Debug: true})
				m.On(shutdown.Close, "db", sleep(time.Second))
				var dones []func()
				track := func(name string) {
					done, ok := m.Track(name)
					require.True(t, ok)
					dones = append(dones, done)
				}
				track("GET /sse")
				time.Sleep(time.Second)
				track("GET /orders/{id}")
				for range 9 {
					track("GET /sse")
				}
				time.Sleep(time.Second)
				finish := func() {
					for _, done := range dones {
						done()
					}
				}
				require.NotContains(t, page(t, h), "cut off")
				require.NotContains(t, page(t, h), "Cut off")
				test.end(m, finish)
				cut := test.ages != ""
				if cut {
					track("admitted later")
					track("admitted later and still in flight")
					still := dones[len(dones)-1]
					dones = dones[:len(dones)-1]
					text := page(t, h)
					require.Contains(t, text, test.during+" Waiting for 13 in flight, the oldest GET /sse.")
					require.Contains(t, text, "13 tasks were cut off.")
					require.Contains(t, text, "Cut off 13 In flight when WorkContext ended, or admitted after that. Some of these tasks may have returned since. "+test.ages)
					require.Contains(t, text, "In flight 13")
					require.Regexp(t, `Drain [\d.]+ s, 13 cut off `, text)
					finish()
					text = page(t, h)
					require.Contains(t, text, "Cut off 13", "tasks that have returned stay in the list")
					require.Contains(t, text, "In flight 1 admitted later and still in flight", "but are not in flight any more")
					require.Len(t, status(t, h)["cut_off"], 13)
					require.Len(t, status(t, h)["unfinished"], 1)
					still()
				}
				time.Sleep(500 * time.Millisecond)
				closing := page(t, h)
				require.Contains(t, closing, "Closing Waiting for db.")
				_ = m.Wait()
				text, fields := page(t, h), status(t, h)
				require.Equal(t, test.result, fields["result"])
				require.NotContains(t, fields, "unfinished")
				if !cut {
					require.Contains(t, closing, "Nothing was in flight when Drain ended. ")
					require.True(t, strings.HasPrefix(text, "Finished The shutdown took 6 s."), text)
					require.NotContains(t, text, "ut off")
					require.NotContains(t, fields, "cut_off")
					return
				}
				require.Contains(t, closing, "13 tasks were cut off.")
				require.Contains(t, closing, "Nothing was in flight when Drain ended: the tasks that were cut off had returned.")
				require.Contains(t, text, "Cut off 13")
				require.NotContains(t, text, "Finished")
				require.Len(t, fields["cut_off"], 13)
				require.NotEmpty(t, element(t, fields["cut_off"], "GET /orders/{id}")["since"])
			})
		})
	}
}

func TestTheSizeOfTheStatusPageIsLimitedWithManyCutOffTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, shutdown.Config{})
		for range 2 {
			_, _ = m.Track("GET /0/" + strings.Repeat("x", 1000))
		}
		time.Sleep(time.Millisecond) // tasks of the same age have no order
		for i := range 1_999 {
			_, _ = m.Track(fmt.Sprintf("GET /%d/%s", i+1, strings.Repeat("x", 1000)))
		}
		h := admin.Handler(m, admin.Options{Debug: true})
		m.Force(nil)
		_ = m.Wait()
		require.Less(t, call(t.Context(), h, http.MethodGet, "/debug/shutdown").Body.Len(), 100_000)
		text := page(t, h)
		require.Contains(t, text, "Cut off 2001")
		require.Contains(t, text, "2 x GET /0/xxx")
		require.Contains(t, text, "and 1950 more ")
		require.Len(t, status(t, h)["cut_off"], 2_001)
	})
}

func TestTheNamesOfCutOffTasksAreEscaped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, shutdown.Config{})
		for _, name := range []string{"<script>alert(1)</script>", "\u202egnp.exe"} {
			_, _ = m.Track(name)
		}
		h := admin.Handler(m, admin.Options{Debug: true})
		m.Force(nil)
		_ = m.Wait()
		body := call(t.Context(), h, http.MethodGet, "/debug/shutdown").Body.String()
		_, list, found := strings.Cut(body, `id="cut-off"`)
		require.True(t, found)
		list, _, _ = strings.Cut(list, "</section>")
		require.Contains(t, list, "&lt;script&gt;")
		require.Contains(t, list, "\ufffdgnp.exe")
		require.NotContains(t, body, "<script")
		require.NotContains(t, body, "\u202e")
	})
}

func TestTheStatusPageMarksAFailedBestEffortHookAndDoesNotCountItAsAnError(t *testing.T) {
	refused := func(context.Context) error { time.Sleep(time.Second); return errors.New("collector: refused") }
	for name, test := range map[string]struct {
		stop             func(context.Context) error
		row, class, head string
		result           string
		tolerated        any
	}{
		"an error":                  {shutdown.BestEffort(2*time.Second, refused), "traces 1 s, failed (best effort) collector: refused", "warn", "Finished The", "finished", true},
		"it hangs":                  {shutdown.BestEffort(2*time.Second, sleep(3*time.Second)), "traces 2 s, abandoned (best effort)", "warn", "Finished The", "finished", true},
		"an error, not best effort": {refused, "traces 1 s, failed collector: refused", "bad", "Finished with errors", "finished with errors", nil},
		"no error":                  {shutdown.BestEffort(2*time.Second, sleep(time.Second)), "traces 1 s ", "ok", "Finished The", "finished", nil},
		"it hangs, not best effort": {sleep(time.Minute), "traces 27 s, abandoned", "bad", "Timed out", "timed out", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := manager(t, shutdown.Config{GracePeriod: 30 * time.Second})
				h := admin.Handler(m, admin.Options{Debug: true})
				m.On(shutdown.Close, "traces", test.stop)
				m.Begin(nil)
				_ = m.Wait()
				text, html := page(t, h), call(t.Context(), h, http.MethodGet, "/debug/shutdown").Body.String()
				require.True(t, strings.HasPrefix(text, test.head), text)
				require.Contains(t, text, test.row)
				require.Equal(t, test.tolerated != nil, strings.Contains(text, "best effort"))
				for _, class := range []string{"ok", "warn", "bad"} {
					require.Equal(t, class == test.class, strings.Contains(html, `class="row `+class+`"`), class)
				}
				require.Equal(t, test.class == "bad", strings.Contains(html, `class="head bad"`), "the colour of the headline")
				fields := status(t, h)
				require.Equal(t, test.result, fields["result"])
				require.Equal(t, test.tolerated, element(t, fields["steps"], "traces")["best_effort"])
				time.Sleep(time.Minute) // until the hook that hangs has returned
			})
		})
	}
}

func TestFailedJobsAndFailedWorkersAreShownUnderTheirKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, shutdown.Config{GracePeriod: 30 * time.Second})
		h := admin.Handler(m, admin.Options{Debug: true})
		fails := func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Second); return errors.New("row 17") }
		m.Job("import", fails)
		m.Go("consumer", fails)
		m.Job("export", func(ctx context.Context) error { <-ctx.Done(); return nil })
		m.Begin(nil)
		m.Job("too late", fails)
		_ = m.Wait()
		text, fields := page(t, h), status(t, h)
		require.Regexp(t, `Jobs too late 0, failed not started: .* import 1 s, failed did not finish: row 17 Workers consumer 1 s, failed row 17 Leave `, text)
		require.NotContains(t, text, "Start ", "start has not failed")
		require.NotContains(t, text, "export", "it has not failed")
		for name, kind := range map[string]string{"import": "job", "too late": "job", "consumer": "worker"} {
			step := element(t, fields["steps"], name)
			require.Equal(t, kind, step["kind"])
			require.NotContains(t, step, "phase")
		}
	})
}

func init() { childScenarios["start fails"] = startFails }

// startFails prints the page and the JSON after a Run whose start function has failed.
func startFails() {
	var h http.Handler
	_ = shutdown.Run(shutdown.Config{}, func(m *shutdown.Manager) error {
		h = admin.Handler(m, admin.Options{Debug: true})
		return errors.New("no database")
	})
	for _, accept := range []string{"text/html", "application/json"} {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/debug/shutdown", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Body)
	}
	os.Exit(0)
}

// Run works once in a process, so a child process calls it.
func TestAFailedStartIsShownUnderItsKind(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=start fails")
	out, err := cmd.Output()
	require.NoError(t, err)
	html, fields, found := strings.Cut(string(out), "</html>")
	require.True(t, found, "%s", out)
	text := withoutTags(html)
	require.Regexp(t, `^Finished with errors .* Cause: .*no database\. `, text)
	require.Regexp(t, ` Start start 0, failed no database Leave `, text)
	require.NotContains(t, text, "Workers")
	var report map[string]any
	require.NoError(t, json.Unmarshal([]byte(fields), &report))
	require.Equal(t, "start", element(t, report["steps"], "start")["kind"])
}

func TestTheStatusPageMarksTheTimeOfSIGKILLAsAGuessIfTheGracePeriodIsGuessed(t *testing.T) {
	for name, test := range map[string]struct {
		env     map[string]string
		guessed bool
		source  string
	}{
		"guessed from the platform": {map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, true, "guessed: "},
		"set in the environment":    {map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1", "SHUTDOWN_GRACE_PERIOD": "30"}, false, "SHUTDOWN_GRACE_PERIOD"},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range test.env {
				t.Setenv(key, value)
			}
			synctest.Test(t, func(t *testing.T) {
				m := manager(t, shutdown.Config{})
				h := admin.Handler(m, admin.Options{Debug: true})
				m.On(shutdown.Close, "db", sleep(time.Second))
				check := func(when, yes, no string) {
					text := page(t, h)
					if test.guessed {
						require.Contains(t, text, yes, when)
						require.Contains(t, text, "The grace period is a guess, and so is the time of SIGKILL. Set SHUTDOWN_GRACE_PERIOD to the grace period of the platform.", when)
						require.Contains(t, text, "SIGKILL (a guess)", when)
					} else {
						require.Contains(t, text, no, when)
						require.NotContains(t, text, "guess", when)
						require.NotContains(t, text, "Set SHUTDOWN_GRACE_PERIOD", when)
					}
					require.True(t, strings.HasPrefix(status(t, h)["grace_source"].(string), test.source), when)
				}
				check("running", "", "")
				kill := time.Now().Add(30 * time.Second).Format("15:04:05")
				m.Begin(nil)
				time.Sleep(500 * time.Millisecond)
				check("closing", "until SIGKILL at "+kill+", a guess", "until SIGKILL at "+kill+" ")
				_ = m.Wait()
				check("at the end", "SIGKILL was expected 29 s later, which is a guess.", "SIGKILL was expected 29 s later.")
			})
		})
	}
}

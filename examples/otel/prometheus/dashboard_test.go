//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	promclient "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/internal/testlog"
	otelshutdown "github.com/gracefulgo/shutdown/otel"
)

// page returns the code blocks of docs/otel.md in a language.
func page(t *testing.T, language string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/otel.md")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, strings.TrimSpace(m[1]))
	}
	require.NotEmpty(t, blocks)
	return blocks
}

func TestTheProgramsInTheDocumentationAreTheExamples(t *testing.T) {
	var code string
	for _, path := range []string{"main.go", "../otlp/main.go"} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		code += string(text)
	}
	for _, block := range page(t, "go") {
		require.Contains(t, code, block)
	}
}

// A server is a Prometheus in a process of its own.
type server struct {
	t    *testing.T
	api  string
	seen map[string]bool // queries that have returned something
}

// newServer starts a Prometheus that scrapes targets five times a second and has the alerts
// of docs/otel.md. It skips the test if there is none, but not in .ci/nightly.
func newServer(t *testing.T, targets ...string) *server {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		require.Empty(t, os.Getenv("NIGHTLY"), "%v", err)
		t.Skip("prometheus is not on PATH: apt-get install --no-install-recommends prometheus")
	}
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("rules.yml", page(t, "yaml")[0])
	write("prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}
rule_files: [rules.yml]
scrape_configs: [{job_name: orders, static_configs: [{targets: ["%s"]}]}]
`, strings.Join(targets, `", "`)))
	s := &server{t: t, seen: make(map[string]bool)}
	addr := newSite(t).addr
	s.api = "http://" + addr + "/api/v1/"
	var log testlog.Buffer
	cmd := exec.Command(path, "--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", addr)
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	require.Eventually(t, func() bool { _, err := s.get("query", "up"); return err == nil }, patience, 50*time.Millisecond, "Prometheus answers")
	return s
}

// get returns the labels and values of a result, sorted, as text.
func (s *server) get(path, query string) (lines []string, err error) {
	resp, err := http.Get(s.api + path + "?query=" + url.QueryEscape(query))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
			Alerts []struct {
				State  string
				Labels map[string]string
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s", query, answer.Error)
	}
	for _, r := range answer.Data.Result {
		var labels []string
		for name, value := range r.Metric {
			if strings.HasPrefix(name, "shutdown_") {
				labels = append(labels, name+"="+value)
			}
		}
		slices.Sort(labels)
		lines = append(lines, fmt.Sprint(strings.Join(labels, " "), " ", r.Value[1]))
	}
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			lines = append(lines, a.Labels["alertname"])
		}
	}
	slices.Sort(lines)
	return lines, nil
}

// await waits until the query of docs/otel.md that has the text in it returns a line that
// matches.
func (s *server) await(text, line string) {
	s.t.Helper()
	queries := slices.DeleteFunc(page(s.t, "promql"), func(query string) bool { return !strings.Contains(query, text) })
	require.Len(s.t, queries, 1, text)
	var lines []string
	var err error
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		lines, err = s.get("query", queries[0])
		if err == nil && slices.ContainsFunc(lines, regexp.MustCompile(line).MatchString) {
			break
		}
		require.True(s.t, time.Now().Before(end), "%s\nhas no line %s, but %q, %v", queries[0], line, lines, err)
	}
	s.seen[queries[0]] = true
	s.t.Logf("%s\n\t%s", queries[0], strings.Join(lines, "\n\t"))
}

// awaitAlerts waits until these alerts are firing, and no other.
func (s *server) awaitAlerts(names ...string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		firing, err := s.get("alerts", "")
		return err == nil && slices.Equal(firing, names)
	}, patience, 100*time.Millisecond, "%v", names)
	s.t.Logf("alerts: %v", names)
}

// A kept is a MeterProvider that is not shut down, so that its last values can be scraped,
// as those that a collector has received.
type kept struct{ metric.MeterProvider }

// pushed is where the last values of a process that has ended can be scraped.
func pushed(t *testing.T) (target string) {
	registry := promclient.NewRegistry()
	exporter, err := prometheus.New(prometheus.WithRegisterer(registry))
	require.NoError(t, err)
	m, err := shutdown.New(shutdown.Config{Signals: shutdown.NoSignals(), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, otelshutdown.Start(m, otelshutdown.Options{MeterProvider: kept{sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))}}))
	m.Begin(nil)
	require.NoError(t, m.Wait())
	srv := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

func TestTheDashboardAndTheAlertsInARealPrometheus(t *testing.T) {
	s := newSite(t)
	prom := newServer(t, s.admin, pushed(t))
	lastResults := "count by (shutdown_result) (shutdown_last_run"

	run := s.start(t, "SHUTDOWN_LAME_DUCK=5")
	finish := run.order(t)
	prom.await("tasks_in_flight", "shutdown_kind=http 1")
	prom.await("shutdown_duration_seconds[1d]", "shutdown_result=finished 1")
	prom.awaitAlerts()
	run.signal(t, syscall.SIGTERM)
	run.await(t, "a request while leaving", func() bool { // in the lame duck they are answered
		if resp, err := http.Get("http://" + run.addr + "/menu"); err == nil {
			_ = resp.Body.Close()
		}
		return slices.ContainsFunc(run.scrape(), func(line string) bool { return strings.HasPrefix(line, "shutdown_requests_while_leaving") })
	})
	prom.await("leaving_total", "shutdown_kind=http [1-9]")
	run.awaitDrain(t)
	prom.await("sum by (instance) (shutdown_phase_duration", " [0-9.]+")
	prom.await(`hook_result="running"`, "shutdown_hook_name=http "+run.addr+" shutdown_phase=drain")
	prom.await("topk", "shutdown_hook_name=http")
	finish()
	require.Equal(t, 0, run.end())

	run = s.start(t, "SHUTDOWN_GRACE_PERIOD=5")
	prom.await(lastResults, "shutdown_result=finished 1")
	prom.await("max by (instance, shutdown_result)", "shutdown_result=finished ")
	prom.await("last_run_requests", "shutdown_kind=http [1-9]")
	prom.await("last_run_connections", "shutdown_kind=http [1-9]")
	prom.awaitAlerts()
	run.order(t)
	run.signal(t, syscall.SIGTERM)
	require.Equal(t, 1, run.end())

	run = s.start(t)
	prom.await(lastResults, "shutdown_result=timed out 1")
	prom.awaitAlerts("ShutdownCutOffWork")
	run.order(t)
	run.signal(t, syscall.SIGTERM)
	run.awaitDrain(t)
	run.awaitRecord(t, s.record, `"phase":"drain"`)
	run.signal(t, syscall.SIGKILL)
	require.Equal(t, -1, run.end())

	run = s.start(t)
	prom.await(lastResults, "shutdown_result=killed in drain 1")
	prom.awaitAlerts("KilledBeforeTheEndOfTheShutdown")
	run.awaitRecord(t, s.record, `"phase":"running"`)
	run.signal(t, syscall.SIGKILL)
	require.Equal(t, -1, run.end())

	run = s.start(t)
	prom.awaitAlerts("KilledWithoutShutdown")
	run.signal(t, syscall.SIGTERM)
	require.Equal(t, 0, run.end())
	for _, query := range page(t, "promql") {
		require.True(t, prom.seen[query], "not tested: %s", query)
	}
}

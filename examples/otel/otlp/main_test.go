//go:build unix

package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gracefulgo/shutdown/internal/loopback"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

// TestMain runs the program instead of the tests if a test has started it.
func TestMain(m *testing.M) {
	if os.Getenv("OTLP") != "" {
		time.AfterFunc(5*time.Minute, func() { os.Exit(99) }) // it must not outlive its parent
		main()
	}
	os.Exit(m.Run())
}

// patience is a limit for what should happen at once; no test waits for it to pass.
const patience = time.Minute

// run starts the program, stops it with SIGTERM when it listens, and returns its exit code,
// its output, and how long the hook of the export took.
func run(t *testing.T, endpoint string, args ...string) (code int, output string, export time.Duration) {
	t.Helper()
	addr, err := loopback.FreeAddr()
	require.NoError(t, err)
	var log testlog.Buffer
	cmd := exec.Command(os.Args[0], append([]string{"-addr", addr}, args...)...)
	cmd.Env = append(os.Environ(), "OTLP=1", "OTEL_EXPORTER_OTLP_ENDPOINT="+endpoint, "SHUTDOWN_GRACE_PERIOD=120", "SHUTDOWN_LAME_DUCK=0")
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	defer cmd.Process.Kill()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		return err == nil && c.Close() == nil
	}, patience, 10*time.Millisecond, "the program listens")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	_ = cmd.Wait()
	// The last line of the log has "report.close="1.8s: otel 1.8s (best effort) ...".
	took := regexp.MustCompile(`report.close="[^"]*otel ([\d.µa-z]+)`).FindStringSubmatch(log.String())
	require.NotNil(t, took, "%s", &log)
	export, err = time.ParseDuration(took[1])
	require.NoError(t, err)
	return cmd.ProcessState.ExitCode(), log.String(), export
}

func TestTheLastPushHasTheResultAndTheTrace(t *testing.T) {
	var mu sync.Mutex
	spans, metrics := make(map[string]string), make(map[string]bool) // parents of spans, by name
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		switch r.URL.Path {
		case "/v1/traces":
			var push tracepb.ExportTraceServiceRequest
			if proto.Unmarshal(body, &push) == nil {
				names := make(map[string]string)
				for _, s := range push.ResourceSpans[0].ScopeSpans[0].Spans {
					names[string(s.SpanId)] = s.Name
				}
				for _, s := range push.ResourceSpans[0].ScopeSpans[0].Spans {
					spans[s.Name] = names[string(s.ParentSpanId)]
				}
			}
		case "/v1/metrics":
			var push metricspb.ExportMetricsServiceRequest
			if proto.Unmarshal(body, &push) == nil {
				for _, m := range push.ResourceMetrics[0].ScopeMetrics[0].Metrics {
					for _, p := range m.GetGauge().GetDataPoints() {
						metrics[m.Name+" "+p.Attributes[len(p.Attributes)-1].GetValue().GetStringValue()] = true
					}
				}
			}
		}
	}))
	defer collector.Close()
	code, output, _ := run(t, collector.URL)
	require.Zero(t, code, output)
	require.NotContains(t, output, "level=WARN")
	mu.Lock()
	defer mu.Unlock()
	parent, ok := spans["shutdown"]
	require.True(t, ok)
	require.Empty(t, parent)
	for _, phase := range []string{"leave", "drain", "close"} {
		require.Equal(t, "shutdown", spans[phase])
		require.True(t, metrics["shutdown.phase.duration "+phase], "%v", metrics)
	}
	require.Len(t, spans, 5, "and the server's drain hook: %v", spans)
	require.True(t, metrics["shutdown.duration finished"], "%v", metrics)
}

func TestADeadCollectorCostsItsLimitAndNoExitCode(t *testing.T) {
	closed, err := loopback.FreeAddr()
	require.NoError(t, err)
	silent, err := net.Listen("tcp", loopback.Addr()) // the kernel accepts, and nothing answers
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })
	for name, test := range map[string]struct {
		endpoint string
		least    time.Duration // the silent one takes the limit, less the tenth that BestEffort keeps
	}{
		"a closed port":             {closed, 0},
		"a port that never answers": {silent.Addr().String(), 450 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, output, export := run(t, "http://"+test.endpoint, "-limit", "500ms")
			require.Zero(t, code, output)
			require.Contains(t, output, "WARN shutdown: failed, which does not count (best effort)")
			require.GreaterOrEqual(t, export, test.least)
			// Twenty times the limit, for a machine that is busy; the exporters by themselves
			// would retry for a minute.
			require.Less(t, export, 10*time.Second, output)
			t.Logf("the export took %v of 500ms", export)
		})
	}
}

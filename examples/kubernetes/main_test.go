//go:build unix

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/gracefulgo/shutdown/examples/kubernetes/internal/orderstest"
)

func TestMain(m *testing.M) { orderstest.Main(m, main) }

// The grace period is long where nothing takes all of it.
const (
	grace      = "SHUTDOWN_GRACE_PERIOD=60"
	noLameDuck = "SHUTDOWN_LAME_DUCK=0"
)

func TestOrdersAreStored(t *testing.T) {
	t.Parallel()
	p := orderstest.Start(t, t.TempDir(), grace, noLameDuck)
	p.RequireAPI()
	p.Signal(syscall.SIGTERM)
	require.Zero(t, p.ExitCode())
}

func TestARequestAtAnyTimeOfTheShutdownIsAnswered(t *testing.T) {
	t.Parallel()
	// On a machine that is too slow for it, the lame duck is over too early.
	for lameDuck := time.Second; !answersAtAnyTime(t, lameDuck); lameDuck *= 2 {
		require.Less(t, lameDuck, 20*time.Second)
	}
}

// answersAtAnyTime returns false if the lame duck was too short.
func answersAtAnyTime(t *testing.T, lameDuck time.Duration) bool {
	dir := t.TempDir()
	p := orderstest.Start(t, dir, grace, "SHUTDOWN_LAME_DUCK="+lameDuck.String())
	conn := p.Dial()
	post, call := p.Post(), p.Call(conn)

	begun := time.Now()
	p.Signal(syscall.SIGTERM)
	p.AwaitLog("shutdown: started")
	ready, answer := p.AskAdmin("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, ready)
	require.Equal(t, "leaving\n", answer)
	status, err := p.Order()
	health, healthErr := p.Health(conn)
	if time.Since(begun) >= lameDuck {
		return false
	}
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, status)
	require.NoError(t, healthErr)
	require.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, health)

	p.AwaitRefused()
	require.GreaterOrEqual(t, time.Since(begun), lameDuck)
	for path, want := range map[string]string{
		"/livez":          "alive",
		"/metrics":        "orders_created_total",
		"/debug/shutdown": "POST /orders",
	} {
		status, answer := p.AskAdmin(path)
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, answer, want)
	}
	post.Finish()
	call.Finish()
	require.Zero(t, p.ExitCode())
	require.Contains(t, p.AwaitLog("shutdown: finished"), `"cause":"signal SIGTERM"`)

	next := orderstest.Start(t, dir, grace, noLameDuck)
	require.NotContains(t, next.Log.String(), "killed")
	return true
}

func TestARequestThatHangsIsCutOffAndNamed(t *testing.T) {
	t.Parallel()
	p := orderstest.Start(t, t.TempDir(), "SHUTDOWN_GRACE_PERIOD=4", noLameDuck)
	post := p.Post()
	p.Signal(syscall.SIGTERM)
	post.RequireNoAnswer()
	require.Equal(t, 1, p.ExitCode())
	require.Contains(t, p.AwaitLog("shutdown: cut off"), `"cut_off":"POST /orders (`)
	require.Contains(t, p.AwaitLog(`"msg":"shutdown: timed out"`), ": store ", "Close hooks run nevertheless")
}

func TestPreStopStartsTheShutdown(t *testing.T) {
	t.Parallel()
	p := orderstest.Start(t, t.TempDir(), grace, noLameDuck)
	status, answer := p.AskAdmin("/prestop")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "the lame duck is over\n", answer)
	require.Zero(t, p.ExitCode())
	require.Contains(t, p.AwaitLog("shutdown: started"), "preStop")
}

func TestTheNextRunLogsThatTheLastOneWasKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := orderstest.Start(t, dir, grace, noLameDuck)
	p.Await("there is a record", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, *record))
		return err == nil && len(text) > 0
	})
	p.Signal(syscall.SIGKILL)
	require.Equal(t, -1, p.ExitCode())

	next := orderstest.Start(t, dir, grace, noLameDuck)
	next.AwaitLog("the last run was killed while running")
}

//go:build unix

package main

import (
	"net/http"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/examples/kubernetes/internal/orderstest"
)

func TestMain(m *testing.M) { orderstest.Main(m, main) }

func TestOrdersAreStored(t *testing.T) {
	t.Parallel()
	p := orderstest.Start(t, t.TempDir())
	p.RequireAPI()
	p.Signal(syscall.SIGTERM)
	require.Zero(t, p.ExitCode())
}

func TestRequestsInFlightAreAnswered(t *testing.T) {
	t.Parallel()
	p := orderstest.Start(t, t.TempDir())
	post, call := p.Post(), p.Call(p.Dial())
	p.Signal(syscall.SIGTERM)
	p.AwaitRefused()
	post.Finish()
	call.Finish()
	require.Zero(t, p.ExitCode())
}

func TestWithDelayItServesAfterSIGTERM(t *testing.T) {
	t.Parallel()
	p := orderstest.Start(t, t.TempDir(), "DELAY=1h")
	p.Signal(syscall.SIGTERM)
	p.AwaitLog("shutting down")
	p.Await("it is not ready", func() bool {
		status, _ := p.AskAdmin("/readyz")
		return status == http.StatusServiceUnavailable
	})
	status, _ := orderstest.Request(t, http.MethodGet, "http://"+p.HTTP+"/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	status, err := p.Order()
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, status)
}

// The library names the request, and its exit code is 1.
func TestARequestThatHangsIsNotNamedAndTheExitCodeIs0(t *testing.T) {
	t.Parallel() // it takes the 10 s of Shutdown
	p := orderstest.Start(t, t.TempDir())
	post := p.Post()
	p.Signal(syscall.SIGTERM)
	post.RequireNoAnswer()
	require.Zero(t, p.ExitCode())
	require.Contains(t, p.Log.String(), "http: context deadline exceeded")
	require.NotContains(t, p.Log.String(), "POST")
}

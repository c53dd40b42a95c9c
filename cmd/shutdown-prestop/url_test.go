//go:build unix

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestItCallsTheURLAndWaitsForTheAnswer(t *testing.T) {
	var last atomic.Pointer[http.Request]
	got := func() http.Header { return last.Load().Header }
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last.Store(r)
		switch r.URL.Path {
		case "/prestop":
			time.Sleep(100 * time.Millisecond)
			fmt.Fprintln(w, "the lame duck is over")
		case "/moved":
			http.Redirect(w, r, "/prestop", http.StatusFound)
		case "/hangs":
			<-release
		default:
			http.Error(w, "preStop: wrong token\nmore", http.StatusForbidden)
		}
	}))
	defer srv.Close()
	defer close(release)
	t.Setenv("http_proxy", "http://127.0.0.1:1")

	status, said, took := prestop(t, "--url", srv.URL+"/prestop")
	require.Zero(t, status, said)
	require.Empty(t, said)
	require.GreaterOrEqual(t, took, 100*time.Millisecond)
	require.Equal(t, http.MethodPost, last.Load().Method)
	require.Empty(t, got().Get("Authorization"))

	t.Setenv("SHUTDOWN_PRESTOP_TOKEN", "from the environment")
	status, _, _ = prestop(t, "--url", srv.URL+"/prestop")
	require.Zero(t, status)
	require.Equal(t, "Bearer from the environment", got().Get("Authorization"))
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("sesame\n"), 0o600))
	status, _, _ = prestop(t, "--url", srv.URL+"/prestop", "--token-file", file)
	require.Zero(t, status)
	require.Equal(t, "Bearer sesame", got().Get("Authorization"))
	require.NoError(t, os.WriteFile(file, []byte("\n"), 0o600))
	status, said, _ = prestop(t, "--url", srv.URL+"/prestop", "--token-file", file)
	require.Equal(t, 1, status)
	require.Contains(t, said, "the first line of "+file+" is empty")

	status, said, _ = prestop(t, "--url", srv.URL+"/forbidden")
	require.Equal(t, 1, status)
	require.Equal(t, "shutdown-prestop: POST "+srv.URL+`/forbidden: 403 Forbidden: "preStop: wrong token"`, said)
	status, said, _ = prestop(t, "--url", srv.URL+"/moved")
	require.Equal(t, 1, status)
	require.Contains(t, said, "302 Found")
	status, said, _ = prestop(t, "--url", srv.URL+"/hangs", "--wait", "2s")
	require.Equal(t, 1, status)
	require.Contains(t, said, "no response within 2s; the shutdown may have started")
}

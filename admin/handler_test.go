package admin_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
)

// The shutdown does not wait for a profile, and metrics are served to the end; over TLS.
func TestTheShutdownDoesNotWaitForRequestsToOptionsHandler(t *testing.T) {
	m := manager(t, shutdown.Config{})
	// It has a certificate that its client trusts.
	borrowed := httptest.NewUnstartedServer(nil)
	borrowed.StartTLS()
	defer borrowed.Close()
	profiling, over := make(chan struct{}), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1") })
	mux.HandleFunc("/debug/pprof/profile", func(w http.ResponseWriter, _ *http.Request) {
		close(profiling)
		<-over
		_, _ = io.WriteString(w, "profile")
	})
	s, err := admin.StartForTest(t, m, "127.0.0.1:0", admin.Options{
		Handler: mux, TLSConfig: &tls.Config{Certificates: borrowed.TLS.Certificates, MinVersion: tls.VersionTLS12},
	})
	require.NoError(t, err)
	url := "https://" + s.Addr().String()
	ask := func(path string) string {
		resp, err := borrowed.Client().Get(url + path)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.Status + " " + string(body)
	}
	require.Equal(t, "200 OK up 1", ask("/metrics"))
	profile := make(chan string, 1)
	go func() { profile <- ask("/debug/pprof/profile") }()
	within(t, "the profile", profiling)
	require.Empty(t, m.Tasks())

	closing, closed := make(chan struct{}), make(chan struct{})
	m.On(shutdown.Close, "close", func(context.Context) error {
		close(closing)
		<-closed
		return nil
	})
	ended := wait(t, m)
	m.Begin(nil)
	within(t, "Close, although there is a profile", closing)
	require.Equal(t, "200 OK up 1", ask("/metrics"))
	require.Contains(t, ask("/livez"), "200 OK")
	close(closed)
	require.NoError(t, within(t, "the end", ended))
	close(over)
	require.Equal(t, "200 OK profile", within(t, "the profile", profile))
}

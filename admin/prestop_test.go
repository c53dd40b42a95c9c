package admin_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
)

// call calls a handler without a network, for tests with virtual time.
func call(ctx context.Context, h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, path, nil))
	return w
}

func sleep(d time.Duration) func(context.Context) error {
	return func(context.Context) error { time.Sleep(d); return nil }
}

func TestPreStopRespondsWhenTheLameDuckAndTheLeaveHooksAreOver(t *testing.T) {
	for name, test := range map[string]struct {
		leave, want time.Duration
	}{
		"a fast Leave hook":      {time.Second, 5 * time.Second},
		"a Leave hook is slower": {7 * time.Second, 7 * time.Second},
		"a Leave hook hangs":     {25 * time.Second, 10800 * time.Millisecond}, // half of the time until Drain ends
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := manager(t, shutdown.Config{GracePeriod: 30 * time.Second, LameDuck: 5 * time.Second})
				m.On(shutdown.Leave, "registry", sleep(test.leave))
				h := admin.Handler(m, admin.Options{PreStop: true})
				start := time.Now()
				w := call(t.Context(), h, http.MethodPost, "/prestop")
				require.Equal(t, http.StatusOK, w.Code)
				require.Equal(t, test.want, time.Since(start))
				require.Greater(t, m.Phase(), shutdown.Leave)
				_ = m.Wait()
				time.Sleep(30 * time.Second) // until the hook that hangs has returned
			})
		})
	}
}

// The shutdown, and so its deadlines, start with preStop.
func TestSIGTERMAfterPreStopHasNoEffect(t *testing.T) {
	run := func(preStop bool) (r shutdown.Report) {
		synctest.Test(t, func(t *testing.T) {
			m := manager(t, shutdown.Config{GracePeriod: 30 * time.Second, LameDuck: 5 * time.Second})
			m.On(shutdown.Close, "db", sleep(time.Second))
			m.On(shutdown.Close, "cache", sleep(time.Second))
			m.On(shutdown.Drain, "http", sleep(2*time.Second))
			m.On(shutdown.Leave, "registry", sleep(time.Second))
			done, _ := m.Track("a request that hangs")
			defer done()
			if preStop {
				w := call(t.Context(), admin.Handler(m, admin.Options{PreStop: true}), http.MethodGet, "/prestop")
				require.Equal(t, http.StatusOK, w.Code)
			}
			m.Signal(syscall.SIGTERM)
			require.ErrorIs(t, m.Wait(), shutdown.ErrTimeout)
			r = m.Report()
		})
		return r
	}
	with, without := run(true), run(false)
	require.EqualError(t, with.Cause, "preStop from 192.0.2.1")
	require.EqualError(t, without.Cause, "signal SIGTERM")
	response := with.Steps[5]
	require.Equal(t, "preStop response", response.Name)
	require.Zero(t, response.Took)
	with.Steps = append(with.Steps[:5], with.Steps[6:]...)
	require.Equal(t, without.Steps, with.Steps, "the same hooks at the same times")
	require.Equal(t, without.Took, with.Took)
	require.Equal(t, 21600*time.Millisecond, with.Steps[2].At+with.Steps[2].Took, "when Drain has ended, including five seconds of preStop")
}

func TestTheShutdownGoesOnIfThePreStopClientDisconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t, shutdown.Config{GracePeriod: 30 * time.Second, LameDuck: 5 * time.Second})
		h := admin.Handler(m, admin.Options{PreStop: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		call(ctx, h, http.MethodGet, "/prestop")
		require.Equal(t, shutdown.Leave, m.Phase())
		require.Equal(t, time.Second, m.Report().Took)
		require.NoError(t, m.Wait())
		require.Equal(t, 5*time.Second, m.Report().Took)
	})
}

func TestTheCauseHasTheIPv6AddressOfThePreStopClient(t *testing.T) {
	m := manager(t, shutdown.Config{})
	r := httptest.NewRequest(http.MethodPost, "/prestop", nil)
	r.RemoteAddr = "[fe80::1%eth0]:41234"
	w := httptest.NewRecorder()
	admin.Handler(m, admin.Options{PreStop: true}).ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code)
	require.NoError(t, m.Wait(), "a requested shutdown is no error")
	require.EqualError(t, m.Report().Cause, "preStop from fe80::1%eth0")
}

// A slowWriter is a client that reads slowly.
type slowWriter struct {
	http.ResponseWriter
	d time.Duration
}

func (w slowWriter) Write(b []byte) (int, error) {
	time.Sleep(w.d)
	return w.ResponseWriter.Write(b)
}

func TestCloseWaitsForThePreStopResponseForAtMostASecond(t *testing.T) {
	for _, test := range []struct{ write, took time.Duration }{
		{0, 0},
		{300 * time.Millisecond, 300 * time.Millisecond},
		{time.Hour, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := manager(t, shutdown.Config{GracePeriod: 30 * time.Second, LameDuck: -1})
			h := admin.Handler(m, admin.Options{PreStop: true})
			w := httptest.NewRecorder()
			go h.ServeHTTP(slowWriter{w, test.write}, httptest.NewRequest(http.MethodGet, "/prestop", nil))
			synctest.Wait()
			require.NoError(t, m.Wait())
			require.Equal(t, test.took, m.Report().Took)
			if test.write < time.Second {
				require.Equal(t, "the lame duck is over\n", w.Body.String())
			}
			time.Sleep(test.write)
		})
	}
}

func TestPreStopRefusesOtherMethodsWebPagesAndWrongTokens(t *testing.T) {
	log := captureLog(t)
	m := manager(t, shutdown.Config{})
	open := serve(t, m, admin.Options{PreStop: true}) + "/prestop"
	locked := serve(t, m, admin.Options{PreStop: true, Token: "sesame"}) + "/prestop"
	for _, test := range []struct {
		method, url string
		header      []string
		want        int
	}{
		{http.MethodHead, open, nil, http.StatusMethodNotAllowed},
		{http.MethodPut, open, nil, http.StatusMethodNotAllowed},
		{http.MethodDelete, open, nil, http.StatusMethodNotAllowed},
		{http.MethodGet, open, []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden}, // an image on a web page
		{http.MethodPost, open, []string{"Origin", "https://example.org"}, http.StatusForbidden},
		{http.MethodGet, locked, nil, http.StatusUnauthorized},
		{http.MethodGet, locked, []string{"Authorization", "Basic sesame"}, http.StatusUnauthorized},
		{http.MethodGet, locked, []string{"Authorization", "Bearer "}, http.StatusUnauthorized},
		{http.MethodGet, locked, []string{"Authorization", "Bearer sesam"}, http.StatusForbidden},
		{http.MethodGet, locked, []string{"Authorization", "Bearer sesamesame"}, http.StatusForbidden},
	} {
		r := ask(t, test.method, test.url, test.header...)
		require.NoError(t, r.err)
		require.Equal(t, test.want, r.status, "%s %s %v", test.method, test.url, test.header)
		require.Equal(t, test.want == http.StatusUnauthorized, r.header.Get("WWW-Authenticate") != "")
	}
	require.Equal(t, shutdown.Running, m.Phase())
	require.Empty(t, m.Report().Pending)
	require.Equal(t, 2, strings.Count(log.String(), "admin: /prestop refused from=127.0.0.1 reason="), "one line for each server")
	require.NotContains(t, log.String(), "sesam")
	require.Equal(t, "200 the lame duck is over", ask(t, http.MethodGet, locked, "Authorization", "bearer sesame").String())
	require.NoError(t, m.Wait())
}

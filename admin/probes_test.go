package admin_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
	"github.com/gracefulgo/shutdown/admin"
	"github.com/gracefulgo/shutdown/httpserver"
	"github.com/gracefulgo/shutdown/internal/loopback"
)

// The service's own server stops in Drain; the endpoints of admin do not.
func TestEveryEndpointInEveryPhase(t *testing.T) {
	_ = captureLog(t)
	m := manager(t, shutdown.Config{GracePeriod: time.Hour, LameDuck: 10 * time.Millisecond})
	leave, drain, closing := newGate(), newGate(), newGate()
	url := serve(t, m, admin.Options{PreStop: true, Debug: true})
	var checked atomic.Bool
	strict := serve(t, m, admin.Options{PreStop: true, Token: "sesame", Ready: func(context.Context) error {
		if checked.Load() {
			return nil
		}
		return errors.New("the cache is cold")
	}})
	plain := serve(t, m, admin.Options{})
	var service string
	all := func(readyz, strictReadyz, page string, serves bool) {
		t.Helper()
		require.Equal(t, "200 alive", get(t, url+"/livez"))
		require.Equal(t, readyz, get(t, url+"/readyz"))
		require.Equal(t, strictReadyz, get(t, strict+"/readyz"))
		require.Equal(t, "404 404 page not found", get(t, plain+"/prestop"), "off")
		require.Equal(t, "404 404 page not found", get(t, plain+"/debug/shutdown"), "off")
		require.Equal(t, "401 preStop: a token is required: Authorization: Bearer TOKEN", get(t, strict+"/prestop"))
		require.Equal(t, "403 preStop: wrong token", ask(t, http.MethodGet, strict+"/prestop", "Authorization", "Bearer sesam").String())
		debug := ask(t, http.MethodGet, url+"/debug/shutdown")
		require.Equal(t, http.StatusOK, debug.status)
		require.Contains(t, debug.body, "<h1><i class=\"dot\"></i>"+page+"</h1>")
		require.Empty(t, m.Tasks(), "requests to admin are not in flight")
		hello := get(t, "http://"+service+"/")
		if serves {
			require.Equal(t, "200 hello", hello)
		} else {
			require.Contains(t, hello, syscall.ECONNREFUSED.Error())
		}
	}

	m.On(shutdown.Close, "close", closing.hook)
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })
	started, err := httpserver.Start(m, &http.Server{Addr: loopback.Addr(), Handler: hello})
	require.NoError(t, err)
	service = started.Addr().String()
	m.On(shutdown.Leave, "leave", leave.hook)

	all("503 starting", "503 starting", "Starting", true)
	ended := wait(t, m)
	all("200 ready", "503 starting", "Ready", true)
	checked.Store(true)
	all("200 ready", "200 ready", "Ready", true)
	checked.Store(false)
	all("200 ready", "503 not ready", "Ready", true)
	checked.Store(true)
	require.Equal(t, shutdown.Running, m.Phase(), "refused requests do not start the shutdown")

	preStop := later(t, url+"/prestop")
	within(t, "Leave", leave.entered)
	all("503 leaving", "503 leaving", "Leaving", true)
	again := later(t, strict+"/prestop", "Authorization", "Bearer sesame")
	for range 20 { // a wrong response to /prestop would arrive in this time
		require.Equal(t, "200 alive", get(t, url+"/livez"))
	}
	require.Empty(t, preStop)
	require.Empty(t, again)

	// The server is drained by a Drain hook of its own; this one holds the phase.
	m.On(shutdown.Drain, "drain", drain.hook)
	close(leave.open)
	require.Equal(t, "200 the lame duck is over", within(t, "the response", preStop).String())
	require.Equal(t, "200 the lame duck is over", within(t, "the response", again).String())
	within(t, "Drain", drain.entered)
	require.GreaterOrEqual(t, m.Phase(), shutdown.Drain)
	eventually(t, "the service's port is closed", func() bool { return len(running(m)) == 1 })
	all("503 leaving", "503 leaving", "Draining", false)
	close(drain.open)
	within(t, "Close", closing.entered)
	all("503 leaving", "503 leaving", "Closing", false)
	close(closing.open)
	require.NoError(t, within(t, "the end", ended), "a requested shutdown is no error")
	all("503 leaving", "503 leaving", "Finished", false)
	require.Equal(t, "200 the lame duck is over", get(t, url+"/prestop"), "at once after the end")
	require.Equal(t, "200 the lame duck is over", get(t, url+"//prestop"), "old kubelets sent this path")
	require.EqualError(t, m.Report().Cause, "preStop from 127.0.0.1")
}

// running returns the names of the hooks that run.
func running(m *shutdown.Manager) (names []string) {
	for _, s := range m.Report().Steps {
		if s.Running && s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return names
}

func TestReadyIsCalledOnlyAfterWaitAndBeforeTheShutdownStarts(t *testing.T) {
	m := manager(t, shutdown.Config{})
	var calls atomic.Int32
	url := serve(t, m, admin.Options{Ready: func(ctx context.Context) error {
		calls.Add(1)
		of, ok := shutdown.FromContext(ctx)
		require.True(t, ok)
		require.Equal(t, m, of)
		return nil
	}})
	require.Equal(t, "503 starting", get(t, url+"/readyz"))
	require.Zero(t, calls.Load(), "Wait has not been called")
	ended := wait(t, m)
	require.Equal(t, "200 ready", get(t, url+"/readyz"))
	require.EqualValues(t, 1, calls.Load())
	m.Begin(nil)
	require.NoError(t, within(t, "the end", ended))
	require.Equal(t, "503 leaving", get(t, url+"/readyz"))
	require.EqualValues(t, 1, calls.Load())
}

func TestAPanicInReadyMakesTheServiceNotReady(t *testing.T) {
	log := captureLog(t)
	synctest.Test(t, func(t *testing.T) { // the page waits for Ready for a second
		m := manager(t, shutdown.Config{})
		h := admin.Handler(m, admin.Options{Debug: true, Ready: func(context.Context) error { panic("no cache") }})
		_ = wait(t, m)
		w := call(t.Context(), h, http.MethodGet, "/readyz")
		require.Equal(t, "503 starting\n", fmt.Sprint(w.Code, " ", w.Body))
		require.Contains(t, page(t, h), "panic: no cache", "the page has the error")
		require.Equal(t, http.StatusOK, call(t.Context(), h, http.MethodGet, "/livez").Code)
	})
	require.Contains(t, log.String(), `Options.Ready panicked panic="no cache"`)
	require.Contains(t, log.String(), "probes_test.go", "with its stack")
}

func TestALongPanicInReadyIsTruncatedInTheLog(t *testing.T) {
	log := captureLog(t)
	var deep func(n int)
	deep = func(n int) {
		if n == 0 {
			panic(errors.New(strings.Repeat("x", 100<<10)))
		}
		deep(n - 1)
	}
	m := manager(t, shutdown.Config{})
	h := admin.Handler(m, admin.Options{Ready: func(context.Context) error { deep(100); return nil }})
	_ = wait(t, m)
	require.Equal(t, http.StatusServiceUnavailable, call(t.Context(), h, http.MethodGet, "/readyz").Code)
	line := log.String()
	require.Contains(t, line, "Options.Ready panicked panic=\"xxx")
	require.Contains(t, line, "stack=\"goroutine ")
	require.Less(t, len(line), 8<<10)
}

// A check that ignores its context occupies one goroutine, not one for each probe, and
// probes do not wait for it once the shutdown has started.
func TestConcurrentProbesShareOneCallOfReady(t *testing.T) {
	m := manager(t, shutdown.Config{})
	entered, release := make(chan struct{}, 100), make(chan struct{})
	url := serve(t, m, admin.Options{Ready: func(context.Context) error {
		entered <- struct{}{}
		<-release
		return nil
	}})
	defer close(release)
	_ = wait(t, m)
	var probes []<-chan reply
	for range 10 {
		probes = append(probes, later(t, url+"/readyz"))
	}
	within(t, "the check", entered)
	m.Begin(nil)
	for _, p := range probes {
		require.Equal(t, "503 leaving", within(t, "a response", p).String())
	}
	require.Empty(t, entered, "one check for ten probes")
}

func TestReadyTimesOut(t *testing.T) {
	for _, returns := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			m := manager(t, shutdown.Config{})
			h := admin.Handler(m, admin.Options{Debug: true, Ready: func(ctx context.Context) error {
				if returns {
					<-ctx.Done()
					return context.Cause(ctx)
				}
				time.Sleep(time.Minute)
				return nil
			}})
			_ = wait(t, m)
			start := time.Now()
			w := call(t.Context(), h, http.MethodGet, "/readyz")
			require.Equal(t, http.StatusServiceUnavailable, w.Code)
			require.Equal(t, 5*time.Second, time.Since(start))
			synctest.Wait() // for the check, if it ends at the same moment
			start = time.Now()
			require.Contains(t, page(t, h), "Options.Ready has not returned within 1s")
			require.Equal(t, time.Second, time.Since(start))
			time.Sleep(time.Minute)
		})
	}
}

func TestStartReturnsAnErrorForABusyPortAndInvalidArguments(t *testing.T) {
	m := manager(t, shutdown.Config{})
	busy := serve(t, m, admin.Options{})[len("http://"):]
	for name, test := range map[string]struct {
		addr string
		o    admin.Options
		want string
	}{
		"a busy port":                      {busy, admin.Options{}, "address already in use"},
		"no address":                       {"", admin.Options{}, "admin: the address is empty"},
		"no port":                          {"localhost", admin.Options{}, "missing port in address"},
		"a token without PreStop":          {"127.0.0.1:0", admin.Options{Token: "sesame"}, "Options.PreStop"},
		"a token that ends with a newline": {"127.0.0.1:0", admin.Options{PreStop: true, Token: "sesame\n"}, "does it end with a newline"},
		"no certificate":                   {"127.0.0.1:0", admin.Options{TLSConfig: new(tls.Config)}, "Options.TLSConfig has no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := admin.Start(m, test.addr, test.o)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "sesame")
			require.Nil(t, s)
		})
	}
	require.PanicsWithError(t, "admin: Options.Token requires Options.PreStop", func() {
		admin.Handler(m, admin.Options{Token: "sesame"})
	})
}

func TestStartReturnsAnErrorAfterTheShutdownHasStarted(t *testing.T) {
	m := manager(t, shutdown.Config{})
	m.Signal(os.Interrupt)
	require.NoError(t, m.Wait())
	s, err := admin.Start(m, "127.0.0.1:0", admin.Options{})
	require.ErrorContains(t, err, "the shutdown has started: signal SIGINT")
	require.Nil(t, s)
}

func TestAServerThatFailsStartsTheShutdown(t *testing.T) {
	m := manager(t, shutdown.Config{})
	admin.BreakForTest(t, m)
	require.ErrorContains(t, m.Wait(), "admin: serve 127.0.0.1:")
}

package shutdown

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/testlog"
)

// terminating calls do with a Manager whose termination log has content. The kubelet creates it
// empty.
func terminating(t *testing.T, content string, do func(m *Manager, log func() string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "termination-log")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	synctest.Test(t, func(t *testing.T) {
		e, _ := recordEnv(nthRun(1))
		e.postmortem.TerminationLog = path
		m, _ := recording(t, "", e)
		do(m, func() string {
			settled(t, m)
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.LessOrEqual(t, len(text), 4096, "the kubelet cuts off what is longer")
			return string(text)
		})
	})
}

func TestTheTerminationLogSaysWhereTheShutdownIs(t *testing.T) {
	terminating(t, "", func(m *Manager, log func() string) {
		m.On(Drain, "http :8080", func(context.Context) error { time.Sleep(4 * time.Second); return nil })
		m.On(Close, "db", func(context.Context) error { time.Sleep(2 * time.Second); return nil })
		done, _ := m.Track("GET /orders/17")
		time.Sleep(time.Minute)
		require.Empty(t, log(), "before the shutdown only the program writes to it")

		m.Signal(syscall.SIGTERM)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Regexp(t, `^shutdown: in drain, \ds after signal SIGTERM, waiting for GET /orders/17 \(1m\ds\), drain hook "http :8080" \(\ds\)\n`, log())
		require.Contains(t, log(), "db", "what is pending")
		time.Sleep(2 * time.Second)
		done()
		time.Sleep(time.Second)
		require.Regexp(t, `^shutdown: in close, .* waiting for close hook "db"`, log())
		require.NoError(t, m.Wait())
		require.Equal(t, m.Report().String(), log())
	})
}

func TestTheTerminationLogIsNeverLongerThanTheKubeletAllows(t *testing.T) {
	terminating(t, "", func(m *Manager, log func() string) {
		var all []func()
		for i := range 300 {
			name := fmt.Sprintf("%d %s", i, strings.Repeat("\u00e9", 1000))
			m.On(Close, name, func(context.Context) error { return fmt.Errorf("%s", name) })
			done, _ := m.Track(name)
			all = append(all, done)
		}
		m.Begin(nil)
		time.Sleep(1500 * time.Millisecond)
		require.Greater(t, len(log()), 1000)
		require.True(t, strings.HasPrefix(log(), "shutdown: in drain"))
		for _, done := range all {
			done()
		}
		require.Error(t, m.Wait())
		require.True(t, strings.HasPrefix(log(), "shutdown: finished with errors after"))
	})
}

func TestAnEarlyKillShowsTheRealGracePeriod(t *testing.T) {
	for name, test := range map[string]struct {
		after      time.Duration
		vars       []string
		cfg        time.Duration
		record     string // in what the next start says; "" for nothing
		terminated string // in the termination log
	}{
		"guessed, and too long": {
			10 * time.Second, []string{"KUBERNETES_SERVICE_HOST=10.0.0.1"}, 0,
			"killed 20s before the expected time: the real grace period is about 10s; set SHUTDOWN_GRACE_PERIOD=10, or SHUTDOWN_PRESTOP if a preStop hook took the rest",
			"\n10s after signal SIGTERM, kill expected at 30s (guessed): if it was killed here, set SHUTDOWN_GRACE_PERIOD=10\n",
		},
		"set, and too long": {
			5 * time.Second, nil, 30 * time.Second,
			"killed 25s before the expected time: unless it was killed by hand or for memory, the real grace period is about 5s; set SHUTDOWN_GRACE_PERIOD=5,",
			"\n5s after signal SIGTERM, kill expected at 30s: if it was killed here, set SHUTDOWN_GRACE_PERIOD=5\n",
		},
		"killed at the expected time": {
			8 * time.Second, nil, 9900 * time.Millisecond, "", "\n8s after signal SIGTERM, kill expected at 9.9s: if it was killed here",
		},
		"killed at once": {
			0, nil, 30 * time.Second, "", "\n0s after signal SIGTERM, kill expected at 30s: if it was killed here, set SHUTDOWN_GRACE_PERIOD=1\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, termination := filepath.Join(dir, "record"), filepath.Join(dir, "termination-log")
			require.NoError(t, os.WriteFile(termination, nil, 0o600))
			synctest.Test(t, func(t *testing.T) {
				e, _ := recordEnv(nthRun(1))
				e.grace.Lookup, e.postmortem.TerminationLog = fakeEnv(test.vars...).grace.Lookup, termination
				log := &testlog.Buffer{}
				m, err := newManager(Config{
					GracePeriod: test.cfg, LameDuck: -1, Record: path, Signals: NoSignals(), Logger: slog.New(slog.NewTextHandler(log, nil)),
				}, e)
				require.NoError(t, err)
				m.On(Close, "db", func(ctx context.Context) error { <-ctx.Done(); return nil })
				done, _ := m.Track("GET /orders/17")
				m.Signal(syscall.SIGTERM)
				time.Sleep(test.after)
				synctest.Wait()
				kill(t, m)
				text, err := os.ReadFile(termination)
				require.NoError(t, err)
				require.Contains(t, string(text), test.terminated)
				require.LessOrEqual(t, len(text), 4096)
				require.Equal(t, test.cfg == 0, strings.Contains(log.String(), `advice="the grace period is guessed: set SHUTDOWN_GRACE_PERIOD to what the platform grants"`))
				require.Equal(t, test.cfg == 0, strings.Contains(log.String(), "kill_guessed="))
				done()
				_ = m.Wait()
			})
			synctest.Test(t, func(t *testing.T) {
				e, _ := recordEnv(nthRun(2))
				m, log := recording(t, path, e)
				_, ok := m.LastRun()
				require.True(t, ok)
				settled(t, m)
				require.Contains(t, log.String(), "the last run was killed in ")
				if test.record == "" {
					require.NotContains(t, log.String(), "real grace period")
				} else {
					require.Contains(t, log.String(), test.record)
				}
				shutDown(t, m)
			})
		})
	}
}

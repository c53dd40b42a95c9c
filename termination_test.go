package shutdown

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// terminating runs do with a Manager that has an empty termination log, as the
// kubelet makes it, unless content says otherwise.
func terminating(t *testing.T, content string, do func(m *Manager, log func() string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "termination-log")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	synctest.Test(t, func(t *testing.T) {
		e, _ := recordEnv(aRun(1))
		e.terminationLog = path
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
		require.Empty(t, log(), "while running it is the program's own")

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

func TestTheTerminationLogFitsWhateverHappens(t *testing.T) {
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

func TestAMessageOfTheProgramsOwnStays(t *testing.T) {
	const message = "no licence"
	t.Run("from before", func(t *testing.T) {
		terminating(t, message, func(m *Manager, log func() string) {
			end(t, m)
			require.Equal(t, message, log())
		})
	})
	t.Run("written meanwhile", func(t *testing.T) {
		terminating(t, "", func(m *Manager, log func() string) {
			m.On(Close, "last", func(context.Context) error { time.Sleep(2 * time.Second); return nil })
			m.On(Close, "writer", func(context.Context) error {
				require.NotEmpty(t, log())
				return os.WriteFile(m.env.terminationLog, []byte(message), 0o600)
			})
			end(t, m)
			require.Equal(t, message, log())
		})
	})
	t.Run("appended", func(t *testing.T) {
		terminating(t, "", func(m *Manager, log func() string) {
			m.On(Close, "last", func(context.Context) error { time.Sleep(2 * time.Second); return nil })
			m.On(Close, "writer", func(context.Context) error {
				return os.WriteFile(m.env.terminationLog, []byte(log()+message), 0o600)
			})
			end(t, m)
			require.Contains(t, log(), message)
		})
	})
}

func TestWhatARunBeforeLeftInTheSameContainerIsReplaced(t *testing.T) {
	terminating(t, "shutdown: in drain, 22s after signal SIGTERM\n"+strings.Repeat("x", 2000), func(m *Manager, log func() string) {
		m.On(Close, "last", func(context.Context) error { return nil })
		end(t, m)
		require.Equal(t, m.Report().String(), log())
	})
}

func TestWithoutATerminationLogThereIsNone(t *testing.T) {
	for name, path := range map[string]string{
		"missing":     filepath.Join(t.TempDir(), "termination-log"),
		"a directory": t.TempDir(),
		"read-only":   "/proc/version",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, _ := recordEnv(aRun(1))
				e.terminationLog = path
				m, log := recording(t, "", e)
				m.On(Close, "last", func(context.Context) error { return nil })
				end(t, m)
				require.NotContains(t, log.String(), "post-mortem")
			})
			if name == "missing" {
				require.NoFileExists(t, path)
			}
		})
	}
}

func TestATerminationLogThatHangsDelaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := recordEnv(aRun(1))
		m, log := recording(t, "", e)
		hang := make(chan struct{})
		m.keepers[0].save = func() { <-hang }
		begun := time.Now()
		end(t, m)
		require.LessOrEqual(t, time.Since(begun), diskPatience)
		require.Contains(t, log.String(), "could not be written in time")
		close(hang)
	})
}

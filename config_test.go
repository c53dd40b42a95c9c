package shutdown

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/diagnose"
	"github.com/gracefulgo/shutdown/internal/postmortem"
	"github.com/gracefulgo/shutdown/internal/testenv"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

// fakeEnv is a process with these variables and files; see testenv.New.
func fakeEnv(vars ...string) env {
	return env{process: diagnose.Process{PID: 42}, grace: testenv.New(vars...)}
}

const s = time.Second

func TestAnInvalidConfigIsAnErrorThatNamesFieldValueAndLimit(t *testing.T) {
	for want, cfg := range map[string]Config{
		"Config.Timeout: 30s is not shorter than GracePeriod, 30s": {GracePeriod: 30 * s, Timeout: 30 * s},
		"Config.Signals: SIGKILL cannot be caught":                 {Signals: map[os.Signal]Action{os.Kill: Graceful}},
		"Config.Signals: SIGINT has no Action":                     {Signals: map[os.Signal]Action{os.Interrupt: nil}},
		"Config.Signals: nil is no signal":                         {Signals: map[os.Signal]Action{nil: Graceful}},
	} {
		_, err := newManager(cfg, fakeEnv("SHUTDOWN_GRACE_PERIOD=1000"))
		require.ErrorContains(t, err, want)
	}
}

func TestTheLameDuckOfKubernetesNeedsADrainHook(t *testing.T) {
	for _, serves := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			m, err := newManager(Config{Signals: map[os.Signal]Action{}, Logger: slog.New(slog.DiscardHandler)}, fakeEnv("KUBERNETES_SERVICE_HOST=x"))
			require.NoError(t, err)
			want := time.Duration(0)
			if serves {
				m.On(Drain, "http", func(context.Context) error { return nil })
				want = 5 * s
			}
			require.Equal(t, want, m.Report().LameDuck, "before it begins")
			m.Begin(nil)
			require.NoError(t, m.Wait())
			require.Equal(t, want, m.Report().Took)
			require.Equal(t, want, m.Report().LameDuck)
		})
	}
}

func TestATimeoutUnderAGuessedGracePeriodSaysWhatToSet(t *testing.T) {
	for name, cfg := range map[string]time.Duration{"guessed": 0, "set": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, log := fakeEnv(), &testlog.Buffer{}
				e.postmortem.Self, e.postmortem.Disk = func() postmortem.Run { return nthRun(1) }, postmortem.ProcessDisk
				m, err := newManager(Config{GracePeriod: cfg, LameDuck: -1, Signals: NoSignals(), Logger: slog.New(slog.NewTextHandler(log, nil))}, e)
				require.NoError(t, err)
				_, _ = m.Track("GET /orders/17")
				m.Begin(nil)
				require.ErrorIs(t, m.Wait(), ErrTimeout)
				_, last, _ := strings.Cut(log.String(), `msg="shutdown: timed out"`)
				require.Equal(t, cfg == 0, strings.Contains(last, "set SHUTDOWN_GRACE_PERIOD"))
			})
		})
	}
}

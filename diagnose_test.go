package shutdown

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/diagnose"
	"github.com/gracefulgo/shutdown/internal/testlog"
)

func TestATimeoutTooCloseToTheGracePeriodIsLogged(t *testing.T) {
	findings := requireLogged(t, Config{GracePeriod: 30 * s, Timeout: 29900 * time.Millisecond, Signals: NoSignals()}, fakeEnv())
	require.Len(t, findings, 1)
	require.Contains(t, findings[0], "Config.Timeout: 29.9s leaves 100ms of the grace period of 30s (Config.GracePeriod): leave it 0, which is 27s here, or set SHUTDOWN_GRACE_PERIOD")
}

func TestASignalInTheTableThatWasIgnoredAtTheStartIsLogged(t *testing.T) {
	e := fakeEnv()
	e.signals = &ignoring{fakeSignals{caught: make(map[os.Signal]chan<- os.Signal)}, []os.Signal{syscall.SIGHUP}}
	require.Empty(t, requireLogged(t, Config{Signals: DefaultSignals()}, e), "SIGHUP is not in the table")
	findings := requireLogged(t, Config{Signals: map[os.Signal]Action{syscall.SIGHUP: Graceful, syscall.SIGTERM: Immediate}}, e)
	require.Len(t, findings, 1)
	require.Contains(t, findings[0], "SIGHUP was ignored")
	require.Contains(t, findings[0], "nohup")
}

type ignoring struct {
	fakeSignals
	list []os.Signal
}

func (i *ignoring) ignored(sig os.Signal) bool { return slices.Contains(i.list, sig) }

// requireLogged returns the findings that New has logged.
func requireLogged(t *testing.T, cfg Config, e env) (findings []string) {
	t.Helper()
	log := &testlog.Buffer{}
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	m, err := newManager(cfg, e)
	require.NoError(t, err)
	m.Begin(nil)
	require.NoError(t, m.Wait())
	settled(t, m)
	for line := range strings.Lines(log.String()) {
		_, msg, warned := strings.Cut(strings.TrimSpace(line), "level=WARN msg=")
		if warned && !strings.Contains(msg, ": using ") && !strings.Contains(msg, "the process was not scheduled for a while") { // these are not findings
			findings = append(findings, msg)
		}
	}
	return findings
}

func TestParentProcessesAreCheckedOnlyIfSIGTERMIsInTheTable(t *testing.T) {
	const status = "Name:\tx\nState:\tS (sleeping)\nPid:\t%d\nPPid:\t%d\nSigIgn:\t0\nSigCgt:\t0\n"
	for want, table := range map[int]map[os.Signal]Action{
		0: {syscall.SIGHUP: Graceful},
		1: {syscall.SIGHUP: Graceful, syscall.SIGTERM: Graceful},
	} {
		e := fakeEnv()
		e.process = diagnose.Process{PID: 2, Proc: fstest.MapFS{
			"1/status":    {Data: fmt.Appendf(nil, status, 1, 0)},
			"1/cmdline":   {Data: []byte("/bin/sh\x00./start.sh\x00")},
			"self/status": {Data: fmt.Appendf(nil, status, 2, 1)},
		}}
		e.signals = &fakeSignals{caught: make(map[os.Signal]chan<- os.Signal)}
		if runtime.GOOS != "linux" {
			want = 0
		}
		require.Len(t, requireLogged(t, Config{Signals: table}, e), want)
	}
}

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

func TestATimeoutTooCloseToTheGracePeriodIsReported(t *testing.T) {
	for name, test := range map[string]struct {
		env  []string
		cfg  Config
		want string // in the finding; "" for none
	}{
		"nothing set":                         {nil, Config{}, ""},
		"a tenth of a short period":           {[]string{"SHUTDOWN_GRACE_PERIOD=1s"}, Config{}, ""},
		"a margin of a second":                {nil, Config{GracePeriod: time.Hour, Timeout: time.Hour - s, LameDuck: -1}, ""},
		"a margin of a twentieth":             {nil, Config{GracePeriod: 10 * s, Timeout: 9500 * time.Millisecond}, ""},
		"a margin of 100 ms":                  {nil, Config{GracePeriod: 30 * s, Timeout: 29900 * time.Millisecond}, "Config.Timeout: 29.9s leaves 100ms of the grace period of 30s (Config.GracePeriod): leave it 0, which is 27s here, or set SHUTDOWN_GRACE_PERIOD"},
		"of the rest after preStop":           {[]string{"SHUTDOWN_GRACE_PERIOD=30", "SHUTDOWN_PRESTOP=10"}, Config{Timeout: 19900 * time.Millisecond}, "leaves 100ms of the grace period of 20s"},
		"of a guessed period":                 {[]string{"/.dockerenv"}, Config{Timeout: 9900 * time.Millisecond}, "leaves 100ms of the grace period of 10s (guessed"},
		"longer than a guessed period":        {[]string{"/.dockerenv"}, Config{Timeout: 20 * s}, "20s is not shorter than the grace period of 10s, which is guessed (guessed: the default of a container): set SHUTDOWN_GRACE_PERIOD to"},
		"corrected, with a warning":           {[]string{"SHUTDOWN_GRACE_PERIOD=10"}, Config{Timeout: 20 * s}, ""},
		"shorter than the period that is set": {[]string{"SHUTDOWN_GRACE_PERIOD=40", "/.dockerenv"}, Config{Timeout: 20 * s}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			test.cfg.Signals = map[os.Signal]Action{}
			findings := requireLogged(t, test.cfg, fakeEnv(test.env...))
			if test.want == "" {
				require.Empty(t, findings)
				return
			}
			require.Len(t, findings, 1)
			require.Contains(t, findings[0], test.want)
		})
	}
}

func TestASignalInTheTableThatWasIgnoredAtTheStartIsReported(t *testing.T) {
	for name, test := range map[string]struct {
		ignored []os.Signal
		table   map[os.Signal]Action
		want    []string
	}{
		"none":                           {nil, map[os.Signal]Action{syscall.SIGHUP: Graceful}, nil},
		"nohup":                          {[]os.Signal{syscall.SIGHUP}, map[os.Signal]Action{syscall.SIGHUP: Graceful, syscall.SIGTERM: Immediate}, []string{"SIGHUP was ignored"}},
		"nohup, HUP is not in the table": {[]os.Signal{syscall.SIGHUP}, DefaultSignals(), nil},
		"in the background of a script":  {[]os.Signal{os.Interrupt}, DefaultSignals(), nil},
		"only SIGINT is in the table":    {[]os.Signal{os.Interrupt}, map[os.Signal]Action{os.Interrupt: Graceful}, []string{"SIGINT was ignored"}},
		"several": {[]os.Signal{syscall.SIGHUP, os.Interrupt}, map[os.Signal]Action{syscall.SIGHUP: Graceful, os.Interrupt: Graceful},
			[]string{"SIGHUP was ignored", "SIGINT was ignored"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := fakeEnv()
			e.signals = &ignoring{fakeSignals{caught: make(map[os.Signal]chan<- os.Signal)}, test.ignored}
			findings := requireLogged(t, Config{Signals: test.table}, e)
			require.Len(t, findings, len(test.want))
			for i, want := range test.want {
				require.Contains(t, findings[i], want)
				require.Contains(t, findings[i], "nohup")
			}
		})
	}
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

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
)

// runEnv makes the test binary run the command.
const runEnv = "SHUTDOWN_INIT_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(runEnv) != "" {
		_ = os.Unsetenv(runEnv)
		main()
	}
	for _, sig := range []os.Signal{syscall.SIGHUP, os.Interrupt} {
		if signal.Ignored(sig) { // under nohup the tests' children would inherit that
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	goleak.VerifyTestMain(leaks.Patient(m, goleak.Find))
}

// soon is the time limit of what should happen at once. No test waits for it to
// pass.
const soon = 50 * time.Second

// A trial is a run of an init whose descendants write to one file.
type trial struct {
	t      *testing.T
	cmd    *exec.Cmd
	log    string
	stderr bytes.Buffer
	began  time.Time
}

// command returns a trial of argv, whose scripts write to $LOG.
func command(t *testing.T, argv ...string) *trial {
	r := &trial{t: t, cmd: exec.Command(argv[0], argv[1:]...), log: filepath.Join(t.TempDir(), "log")}
	require.NoError(t, os.WriteFile(r.log, nil, 0o644))
	r.cmd.Env = append(os.Environ(), "LOG="+r.log, runEnv+"=1")
	r.cmd.Stderr = &r.stderr
	r.cmd.WaitDelay = soon
	return r
}

// self returns the command line of shutdown-init itself.
func self(t *testing.T, args ...string) []string {
	exe, err := os.Executable()
	require.NoError(t, err)
	return append([]string{exe}, args...)
}

func (r *trial) start() *trial {
	r.t.Helper()
	require.NoError(r.t, r.cmd.Start())
	r.t.Cleanup(func() { _ = r.cmd.Process.Kill() }) // PID 1 of a namespace takes all of it along
	return r
}

func (r *trial) text() string {
	text, err := os.ReadFile(r.log)
	require.NoError(r.t, err)
	return string(text)
}

// says waits until the log contains the line n times.
func (r *trial) says(line string, n int) *trial {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return strings.Count(r.text(), line+"\n") >= n }, soon, 5*time.Millisecond,
		"%q: %s", line, r.log)
	return r
}

func (r *trial) signal(sig os.Signal) *trial {
	r.t.Helper()
	r.began = time.Now()
	require.NoError(r.t, r.cmd.Process.Signal(sig))
	return r
}

// ends waits for the end. It returns the exit code, and the time since the signal.
func (r *trial) ends() (int, time.Duration) {
	r.t.Helper()
	timer := time.AfterFunc(soon, func() { _ = r.cmd.Process.Kill() })
	defer timer.Stop()
	_ = r.cmd.Wait() // its status is checked
	status := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	code := status.ExitStatus()
	if status.Signaled() {
		code = 128 + int(status.Signal())
	}
	return code, time.Since(r.began)
}

// app needs a second to clean up.
const app = `bash -c 'trap "echo TERM >>$LOG; sleep 1; echo saved >>$LOG; exit 0" TERM; echo up >>$LOG; while :; do sleep 0.05; done'`

// noExec is a start script that does not exec the app.
const noExec = app + "; exit $?"

func TestTheExitCodeIsTheChilds(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(text, []byte("not a program"), 0o644))
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"true"}, 0},
		{[]string{"--", "sh", "-c", "exit 3"}, 3},
		{[]string{"--", "sh", "-c", "kill -TERM $$"}, 143},
		{[]string{"--ok", "143", "--", "sh", "-c", "kill -TERM $$"}, 0},
		{[]string{"--ok", "1, 143", "--ok=3", "--", "sh", "-c", "exit 3"}, 0},
		{[]string{"--ok", "4", "--", "sh", "-c", "exit 3"}, 3},
		{[]string{"--", "no-such-command"}, 127},
		{[]string{"--", "/no/such/command"}, 127},
		{[]string{"--", text}, 126},
		{[]string{"--help"}, 0},
	} {
		t.Run(fmt.Sprint(c.args), func(t *testing.T) {
			r := command(t, self(t, c.args...)...).start()
			code, _ := r.ends()
			require.Equal(t, c.want, code, r.stderr.String())
		})
	}
}

func TestBadFlagsAreNamed(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{}, "no command"},
		{[]string{"--grace", "soon", "true"}, `invalid value "soon" for flag -grace`},
		{[]string{"--grace", "-1s", "true"}, `invalid value "-1s" for flag -grace: it must be longer than 0`},
		{[]string{"--to", "group", "true"}, `invalid value "group" for flag -to: neither tree nor child`},
		{[]string{"--ok", "256", "true"}, `invalid value "256" for flag -ok: "256" is not an exit code from 0 to 255`},
		{[]string{"--signal", "TERM", "true"}, `invalid value "TERM" for flag -signal: not of the form TERM=HUP`},
		{[]string{"--signal", "TERM=NONE", "true"}, `invalid value "TERM=NONE" for flag -signal: "NONE" is not a signal`},
		{[]string{"--signal", "TERM=65", "true"}, `"65" is not a signal`},
		{[]string{"--signal", "TERM=RTMIN+99", "true"}, `"RTMIN+99" is not a signal`},
		{[]string{"--signal", "KILL=TERM", "true"}, `invalid value "KILL=TERM" for flag -signal: SIGKILL cannot be caught by any program`},
		{[]string{"--signal", "TERM=STOP", "true"}, `SIGSTOP cannot be caught by any program`},
		{[]string{"--signal", "CHLD=TERM", "true"}, `SIGCHLD tells an init that a child has exited`},
		{[]string{"--what", "true"}, "not defined: -what"},
	} {
		t.Run(fmt.Sprint(c.args), func(t *testing.T) {
			r := command(t, self(t, c.args...)...).start()
			code, _ := r.ends()
			require.Equal(t, 2, code)
			require.Contains(t, r.stderr.String(), c.want)
			require.Contains(t, r.stderr.String(), "usage: shutdown-init")
		})
	}
}

func TestSignalsAreParsed(t *testing.T) {
	for name, want := range map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "SIGTERM": syscall.SIGTERM, "term": syscall.SIGTERM, "15": syscall.SIGTERM,
		"RTMIN": 34, "RTMIN+3": 37, "SIGRTMIN+3": 37, "37": 37, "WINCH": syscall.SIGWINCH,
	} {
		got, err := parseSignal(name)
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
}

func TestTheGracePeriodEndsAfterTheLibrarysTimeoutAndBeforeThePlatforms(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 9500 * time.Millisecond, "30": 28500 * time.Millisecond, "30s": 28500 * time.Millisecond, "2m": 117500 * time.Millisecond,
		"soon": 9500 * time.Millisecond, "-3": 9500 * time.Millisecond, "0": 9500 * time.Millisecond,
	} {
		var stderr bytes.Buffer
		c, err := parse([]string{"true"}, func(key string) string { return map[string]string{envGrace: value}[key] }, &stderr)
		require.NoError(t, err)
		require.Equal(t, want, c.grace, value)
	}
	for preStop, want := range map[string]time.Duration{"": 28500 * time.Millisecond, "10": 19 * time.Second, "10s": 19 * time.Second, "30": 28500 * time.Millisecond, "soon": 28500 * time.Millisecond} {
		c, err := parse([]string{"true"}, func(key string) string { return map[string]string{envGrace: "30", envPreStop: preStop}[key] }, new(bytes.Buffer))
		require.NoError(t, err)
		require.Equal(t, want, c.grace, "a preStop of %q has run when SIGTERM arrives", preStop)
	}
	c, err := parse([]string{"--grace", "25s", "true"}, func(string) string { return "60" }, new(bytes.Buffer))
	require.NoError(t, err)
	require.Equal(t, 25*time.Second, c.grace)
}

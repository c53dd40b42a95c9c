//go:build unix

package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
	"github.com/gracefulgo/shutdown/process"
)

// childEnv is set to the name of the scenario that a re-executed test binary runs
// instead of the tests.
const childEnv = "PROCESS_TEST_CHILD"

// childScenarios are programs for tests that need another process.
var childScenarios = map[string]func(){}

// beforeTests prepares this process on systems whose tests need it.
var beforeTests = func() error { return nil }

func TestMain(m *testing.M) {
	name := os.Getenv(childEnv)
	if name == "" {
		// Under nohup, or in the background of a script, signals are ignored, and the
		// tests' children would inherit that. They do not inherit a handler.
		for _, sig := range []os.Signal{syscall.SIGHUP, os.Interrupt} {
			if signal.Ignored(sig) {
				signal.Notify(make(chan os.Signal, 1), sig)
			}
		}
		if err := beforeTests(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(96)
		}
		goleak.VerifyTestMain(leaks.Patient(m, goleak.Find))
		return
	}
	scenario, ok := childScenarios[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "no scenario %q\n", name)
		os.Exit(98)
	}
	time.AfterFunc(scenarioBound, func() { os.Exit(99) }) // in case the test is killed
	scenario()
	os.Exit(0)
}

// soon is the time limit of what should happen at once. No test waits for it to
// pass.
const soon = 50 * time.Second

const scenarioBound = 5 * time.Minute

func soonContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	t.Cleanup(cancel)
	return ctx
}

// quiet is for tests that do not check the log.
var quiet = slog.New(slog.DiscardHandler)

// shell runs a script. It should print "up" when it is ready to be stopped.
func shell(script string) *exec.Cmd { return exec.Command("bash", "-c", script) }

// start starts cmd and waits until it prints "up". The reader returns what it
// prints after that, and ends with the tree. The default grace period is long
// enough for a busy machine.
func start(t testing.TB, cmd *exec.Cmd, o process.Options) (*process.Tree, *bufio.Reader) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet
	}
	if o.Grace == 0 {
		o.Grace = soon
	}
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	tree, err := process.Start(cmd, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		kill(t, tree)
		_ = tree.Wait() // the test has checked it if it matters
	})
	r := bufio.NewReader(out)
	line, err := r.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "up\n", line)
	return tree, r
}

// kill kills a tree, also on a machine that is too busy to do it before Kill gives
// up.
func kill(t testing.TB, tree *process.Tree) {
	t.Helper()
	for try := 1; ; try++ {
		err, busy := unlessBusy(tree.Kill)
		if !busy {
			require.NoError(t, err)
			return
		}
		require.Less(t, try, 10, "%v", err)
	}
}

// unlessBusy calls Stop or Kill. busy reports whether that gave up on processes that
// may be killed, because the machine was too busy to run them.
func unlessBusy(end func() error) (err error, busy bool) {
	const killBound = 5 * time.Second
	began := time.Now()
	err = end()
	var survivors *process.SurvivorsError
	return err, errors.As(err, &survivors) && !errors.Is(err, os.ErrPermission) && time.Since(began) >= killBound
}

// rest reads r to its end.
func rest(t *testing.T, r io.Reader) string {
	t.Helper()
	text := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(r)
		text <- string(all)
	}()
	select {
	case s := <-text:
		return s
	case <-time.After(soon):
		t.Fatal("no end of the output")
		return ""
	}
}

// isExit requires err to be an *exec.ExitError with this exit code, or this signal
// if it is not 0.
func isExit(t *testing.T, err error, code int, sig syscall.Signal) {
	t.Helper()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	status := exit.Sys().(syscall.WaitStatus)
	if sig != 0 {
		require.True(t, status.Signaled(), "%v", err)
		require.Equal(t, sig, status.Signal())
		return
	}
	require.True(t, status.Exited(), "%v", err)
	require.Equal(t, code, status.ExitStatus())
}

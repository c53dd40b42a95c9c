package systemd_test

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
)

// childEnv names the program that a re-executed test binary runs instead of the tests.
const childEnv = "SYSTEMD_TEST_CHILD"

var children = map[string]func(){}

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		time.AfterFunc(5*time.Minute, func() { os.Exit(99) }) // if the parent was killed
		children[name]()
		os.Exit(97)
	}
	// The tests must not depend on where they run.
	for _, key := range []string{
		"KUBERNETES_SERVICE_HOST", "SHUTDOWN_GRACE_PERIOD", "SHUTDOWN_LAME_DUCK", "SHUTDOWN_PRESTOP",
		"NOTIFY_SOCKET", "SYSTEMD_EXEC_PID", "MANAGERPID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
	} {
		_ = os.Unsetenv(key)
	}
	// Under nohup the child processes would inherit the ignored signals.
	for _, sig := range []os.Signal{syscall.SIGHUP, os.Interrupt} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	must(flag.Set("test.parallel", "8")) // they wait for systemd most of the time; -parallel overrides it
	goleak.VerifyTestMain(leaks.Patient(m, goleak.Find))
}

// soon is a limit for what should happen at once; no test waits for it to pass.
const soon = 50 * time.Second

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(96)
	}
}

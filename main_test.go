package shutdown_test

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
)

// childEnv names the scenario that a re-executed test binary runs in place of
// the tests.
const childEnv = "SHUTDOWN_TEST_CHILD"

// childScenarios are the main programs of tests that need a process of their
// own. Each ends its process itself.
var childScenarios = map[string]func(){}

func TestMain(m *testing.M) {
	name := os.Getenv(childEnv)
	if name == "" {
		// Children would inherit signals that are ignored, as they are under nohup and in
		// the background of a script. They do not inherit signals that are caught.
		for _, sig := range []os.Signal{syscall.SIGHUP, os.Interrupt} {
			if signal.Ignored(sig) {
				signal.Notify(make(chan os.Signal, 1), sig)
			}
		}
		time.Local = time.UTC                                // because tests compare times in the log
		goleak.VerifyTestMain(leaks.Patient(m, goleak.Find)) // which exits
	}
	scenario, ok := childScenarios[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "no scenario %q\n", name)
		os.Exit(98)
	}
	// A child must not outlive a parent that was killed.
	time.AfterFunc(3*time.Minute, func() { os.Exit(99) })
	scenario()
	fmt.Fprintf(os.Stderr, "scenario %q returned\n", name)
	os.Exit(97)
}

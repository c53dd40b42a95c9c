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
// own. Each ends the process itself.
var childScenarios = map[string]func(){}

func TestMain(m *testing.M) {
	name := os.Getenv(childEnv)
	if name == "" {
		// Under nohup, or in the background of a script, the tests' children
		// would inherit what is ignored; what is caught they do not.
		for _, sig := range []os.Signal{syscall.SIGHUP, os.Interrupt} {
			if signal.Ignored(sig) {
				signal.Notify(make(chan os.Signal, 1), sig)
			}
		}
		time.Local = time.UTC                                // in which tests read times from a log
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

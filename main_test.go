package shutdown_test

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// childEnv names the scenario that a re-executed test binary runs in place of
// the tests.
const childEnv = "SHUTDOWN_TEST_CHILD"

// childScenarios are the main programs of tests that need a process of their
// own. Each ends the process itself.
var childScenarios = map[string]func(){}

// verified is the exit code of tests that leave no goroutine behind. What
// goleak.VerifyTestMain waits for the last to end, half a second, is less than
// the machine may let it wait.
func verified(code int) int {
	if code != 0 {
		return code
	}
	err := goleak.Find()
	for begun := time.Now(); err != nil && time.Since(begun) < 50*time.Second; {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

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
		time.Local = time.UTC // in which tests read times from a log
		os.Exit(verified(m.Run()))
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

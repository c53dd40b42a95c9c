// Package testclock has the clocks of tests whose results must not depend on how
// much of the processor the machine gives them.
package testclock

import (
	"os"
	"testing"
	"time"
)

// Full names the environment variable that, set to "full", makes tests repeat
// what they repeat as often as they say, however long it takes.
const Full = "TEST_REPETITIONS"

// Repetitions returns a function that is true until bound has passed: for tests
// that repeat the same check, which a busy machine may do less often. A run that
// is cut short says so in the test's log. If Full is set, none is.
func Repetitions(t testing.TB, bound time.Duration) (more func() bool) {
	if os.Getenv(Full) == "full" {
		return func() bool { return true }
	}
	end := time.Now().Add(bound)
	return func() bool {
		if time.Now().Before(end) {
			return true
		}
		t.Logf("no more repetitions after %v; %s=full makes all of them", bound, Full)
		return false
	}
}

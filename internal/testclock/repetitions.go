// Package testclock has clocks for tests whose results must not depend on the load of the
// machine.
package testclock

import (
	"os"
	"testing"
	"time"
)

// Full is the name of an environment variable. Set to "full" it makes Repetitions ignore
// its time limit.
const Full = "TEST_REPETITIONS"

// Repetitions returns a function that returns true until limit has passed, for tests that
// repeat the same check: on a busy machine they may repeat it less often. Then the test's
// log says so.
func Repetitions(t testing.TB, limit time.Duration) (more func() bool) {
	if os.Getenv(Full) == "full" {
		return func() bool { return true }
	}
	end := time.Now().Add(limit)
	return func() bool {
		if time.Now().Before(end) {
			return true
		}
		t.Logf("stopped repeating after %v; set %s=full for all repetitions", limit, Full)
		return false
	}
}

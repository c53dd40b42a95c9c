//go:build linux

package faults

import (
	"flag"
	"runtime"
	"testing"

	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
)

var (
	seeds    = flag.Int("seeds", 8, "how many seeds are run")
	from     = flag.Uint64("from", 1, "the first of them")
	oneSeed  = flag.Uint64("seed", 0, "run this one only, and show its log and journal")
	parallel = flag.Int("parallel-runs", 2*runtime.NumCPU(), "how many runs go on at the same time; they mostly wait")
)

func TestMain(m *testing.M) {
	if isChild() {
		serve()
	}
	flag.Parse()
	goleak.VerifyTestMain(leaks.Patient(m, goleak.Find))
}

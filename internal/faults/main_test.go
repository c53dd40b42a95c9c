//go:build linux

package faults

import (
	"flag"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/gracefulgo/shutdown/internal/leaks"
)

var (
	seeds    = flag.Int("seeds", 8, "how many seeds are run")
	from     = flag.Uint64("from", 1, "the first seed")
	oneSeed  = flag.Uint64("seed", 0, "run this seed only, and show its log and journal")
	parallel = flag.Int("parallel-runs", 2*runtime.NumCPU(), "how many runs there are at the same time; they mostly wait")
)

func TestMain(m *testing.M) {
	if isChild() {
		serve()
	}
	flag.Parse()
	// Children inherit ignored signals, for example under nohup.
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	goleak.VerifyTestMain(leaks.Patient(m, goleak.Find))
}

package shutdown_test

import (
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown"
)

// BenchmarkNewBelowThreeShells measures New, which looks at PID 1 and at the processes between
// it and the program. us-least is the shortest of 1,000 calls.
//
//	go test -run '^$' -bench New .
func BenchmarkNewBelowThreeShells(b *testing.B) {
	for b.Loop() {
		p := inNamespace(b, "diagnose, and measure", sh(`sh -c './start.sh; true'; true`))
		p.reportNew(b)
		_ = p.cmd.Process.Kill() // a shell does not pass SIGTERM on
		<-p.ended
	}
}

// BenchmarkNewOnADiskThatHangs measures New with a record on a disk that does not answer. New
// does not wait for it.
func BenchmarkNewOnADiskThatHangs(b *testing.B) {
	for b.Loop() {
		p := inNamespace(b, "measure on a disk that hangs", []string{"./app"})
		p.reportNew(b)
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

func (p *process) reportNew(b *testing.B) {
	b.Helper()
	took := func(name string) float64 {
		d, err := time.ParseDuration(strings.TrimSpace(strings.TrimPrefix(p.out.await(name), name)))
		require.NoError(b, err)
		return float64(d.Nanoseconds()) / 1000
	}
	b.ReportMetric(took("least "), "us-least")
	b.ReportMetric(took("mean "), "us-mean")
	b.ReportMetric(0, "ns/op") // mostly the start of a process
}

func init() {
	maps.Copy(childScenarios, map[string]func(){
		"measure on a disk that hangs": func() {
			must(os.Setenv(recordEnv, "disk/record"))
			mountDiskThatHangs()
			measureNew(10, func() { newRecordingManager(shutdown.New) })
			select {} // the parent kills it
		},
	})
}

// measureNew prints how long do takes, which calls New.
func measureNew(times int, do func()) {
	var sum time.Duration
	least := time.Hour
	for range times {
		begun := time.Now()
		do()
		took := time.Since(begun)
		sum, least = sum+took, min(least, took)
	}
	say("least " + least.String())
	say("mean " + (sum / time.Duration(times)).String())
}

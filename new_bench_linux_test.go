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

// BenchmarkNewBelowThreeShells is how long New takes, which looks at PID 1 and at
// what is between it and the program. The least of 1,000 is what it takes if
// nothing comes in between.
//
//	go test -run '^$' -bench New .
func BenchmarkNewBelowThreeShells(b *testing.B) {
	for b.Loop() {
		p := inNamespace(b, "diagnose, and measure", sh(`sh -c './start.sh; true'; true`))
		p.reportNew(b)
		_ = p.cmd.Process.Kill() // a shell does not pass on what would end it
		<-p.ended
	}
}

// BenchmarkNewOnADiskThatHangs is how long New takes if it is to keep a record
// where nothing answers. It does not wait for that.
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
			select {} // until the parent has read it
		},
	})
}

// measureNew says how long do takes, which calls New.
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

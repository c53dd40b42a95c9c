//go:build linux && !processgroup

package process_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/process"
)

// BenchmarkStop measures Stop for the trees of TestNothingOfATreeIsLeft. Where
// processes are killed, the grace period is 200 ms of it.
//
//	go test -run '^$' -bench 'Stop$' -benchtime 5x ./process
func BenchmarkStop(b *testing.B) {
	for _, c := range trees {
		b.Run(c.name, func(b *testing.B) {
			options := process.Options{Grace: soon}
			if c.stopped == process.Killed {
				options.Grace = 200 * time.Millisecond
			}
			var sum time.Duration
			for b.Loop() {
				cmd := unprivileged(shell(c.script))
				m := marked(cmd)
				tree, _ := start(b, cmd, options)
				m.becomes(b, c.members)
				sum += stop(b, tree, c.stopped)
			}
			reportMilliseconds(b, "ms-stop", sum/time.Duration(b.N))
		})
	}
}

// BenchmarkStopOfAThousand compares Stop with a signal to the process group of the
// same processes. It reports the minimum of all rounds: other load on the machine
// only adds to the time.
//
//	go test -run '^$' -bench Thousand -benchtime 12x ./process
func BenchmarkStopOfAThousand(b *testing.B) {
	const thousand = `for ((i = 0; i < 999; i++)); do sleep 600 & done; echo up; wait`
	library, group := time.Hour, time.Hour
	for b.Loop() {
		tree, _ := start(b, shell(thousand), process.Options{})
		library = min(library, stop(b, tree, process.Stopped))
		group = min(group, groupKill(b, thousand))
	}
	reportMilliseconds(b, "ms-stop", library)
	reportMilliseconds(b, "ms-group-kill", group)
	b.ReportMetric(float64(library)/float64(group), "stop/group-kill")
}

// BenchmarkEndWithTheProgram measures the time until a tree that ignores SIGTERM has
// exited after its program was killed by SIGKILL. The grace period of 300 ms is
// part of it.
//
//	go test -run '^$' -bench EndWithTheProgram -benchtime 5x ./process
func BenchmarkEndWithTheProgram(b *testing.B) {
	var sum, worst time.Duration
	for b.Loop() {
		took, _ := untilATreeEndsWithItsProgram(b)
		sum, worst = sum+took, max(worst, took)
	}
	reportMilliseconds(b, "ms-left", sum/time.Duration(b.N))
	reportMilliseconds(b, "ms-left-worst", worst)
}

// stop returns the time that Stop took. state is the expected state after it; a tree
// that is expected to be killed may have exited by itself.
func stop(b *testing.B, tree *process.Tree, state process.State) time.Duration {
	b.Helper()
	began := time.Now()
	err, busy := unlessBusy(func() error { return tree.Stop(soonContext(b)) })
	took := time.Since(began)
	if busy {
		kill(b, tree)
	} else if state != process.Killed || !errors.Is(err, process.ErrKilled) {
		require.NoError(b, err)
		require.Equal(b, process.Stopped, tree.State())
	}
	_ = tree.Wait() // its result does not matter
	return took
}

// groupKill starts script without the package and sends SIGTERM to its process
// group. It returns the time until the last process has been reaped.
func groupKill(b *testing.B, script string) time.Duration {
	b.Helper()
	cmd := shell(script)
	m := marked(cmd)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	defer m.sweep(b)
	_, err = out.Read(make([]byte, 3))
	require.NoError(b, err)
	began := time.Now()
	require.NoError(b, unix.Kill(-cmd.Process.Pid, unix.SIGTERM))
	for !errors.Is(err, unix.ECHILD) { // orphans become children of this process
		_, err = unix.Wait4(-cmd.Process.Pid, nil, 0, nil)
	}
	took := time.Since(began)
	out.Close()
	return took
}

// reportMilliseconds replaces the time of an iteration, most of which is the start of
// the processes.
func reportMilliseconds(b *testing.B, unit string, d time.Duration) {
	b.ReportMetric(float64(d.Microseconds())/1000, unit)
	b.ReportMetric(0, "ns/op")
}

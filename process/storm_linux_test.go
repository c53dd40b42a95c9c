//go:build !processgroup

package process_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/internal/testclock"
	"github.com/gracefulgo/shutdown/process"
)

var stormed bool

// On a busy machine there are fewer than 200 repetitions.
func TestStopLeavesNothingOfATreeThatForks(t *testing.T) {
	repetitions := 200
	if testing.Short() || stormed { // with -count only the first run makes all repetitions
		repetitions = 10
	}
	stormed = true
	scripts := []string{
		`ulimit -u 500; trap '' TERM; echo up; for ((i = 0; i < 300; i++)); do setsid sleep 600 & done; wait`,
		`ulimit -u 500; echo up; for ((i = 0; i < 300; i++)); do sleep 600 & done; wait`,
		`ulimit -u 500; trap '' TERM; hop() { if (($1 < 300)); then hop $(($1 + 1)) & fi; }; echo up; hop 0`,
		`ulimit -u 500; trap '' TERM
		for i in 1 2 3 4; do for ((j = 0; j < 75; j++)); do setsid sleep 600 & done & done; echo up; wait`,
	}
	gaveUp, more := 0, testclock.Repetitions(t, time.Minute)
	for i := 0; i < repetitions && (i < 10 || more()); i++ {
		cmd := unprivileged(shell(scripts[i%len(scripts)]))
		m := marked(cmd)
		tree, _ := start(t, cmd, process.Options{Grace: time.Duration(i%5) * time.Millisecond}) // 0 is the default of start
		end := func() error { return tree.Stop(soonContext(t)) }
		if i%5 == 0 {
			end = tree.Kill
		}
		switch err, busy := unlessBusy(end); {
		case busy:
			gaveUp++
			require.LessOrEqual(t, gaveUp, 5, "%v", err)
			kill(t, tree)
		case err != nil:
			require.ErrorIs(t, err, process.ErrKilled)
		}
		alive, zombies := strays(t)
		require.Zero(t, alive, "repetition %d", i)
		require.Zero(t, zombies, "repetition %d", i)
		require.Empty(t, m.alive(t), "repetition %d", i)
		_ = tree.Wait() // its result does not matter
	}
}

// bash runs its trap when the program in the foreground has exited. The trap starts
// another program, which the signal would end.
func TestAProgramStartedByATrapDoesNotGetTheSignal(t *testing.T) {
	const script = `trap '(echo saving; exec sleep 1.2) && echo saved; exit 0' TERM; echo up; while :; do sleep 0.05; done`
	for range 2 { // the program runs for longer than a second, when the reaper lists all members again
		tree, out := start(t, shell(script), process.Options{})
		require.NoError(t, tree.Stop(soonContext(t)))
		require.Equal(t, "saving\nsaved\n", rest(t, out))
		require.NoError(t, tree.Wait())
	}

	// The control: a second signal ends the program, unless it comes too late.
	for round, late := 1, true; late; round++ {
		require.LessOrEqual(t, round, 20)
		cmd := shell(script)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		r := bufio.NewReader(out)
		var first time.Time
		for _, when := range []string{"up\n", "saving\n"} {
			line, err := r.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, when, line)
			if first.IsZero() {
				first = time.Now()
			}
			require.NoError(t, unix.Kill(-cmd.Process.Pid, unix.SIGTERM))
		}
		late = time.Since(first) >= 1200*time.Millisecond
		said := rest(t, r)
		_ = cmd.Wait()
		if !late {
			require.NotEqual(t, "saved\n", said) // bash may run its trap again
		}
	}
}

// A process that is forked right after the group got the signal looks as if it had
// been in the group before.
func TestAnOrphanStartedByATrapGetsTheSignal(t *testing.T) {
	for _, leaves := range []string{"sleep 600", "setsid sleep 600"} {
		for range 5 {
			tree, _ := start(t, shell(`trap '`+leaves+` & exit 0' TERM; echo up; while :; do sleep 0.05; done`), process.Options{Grace: time.Hour})
			require.NoError(t, tree.Stop(soonContext(t)), leaves)
			require.Equal(t, process.Stopped, tree.State())
			require.NoError(t, tree.Wait())
		}
	}
}

// A forked shell resets its parent's handlers, but not at once. A signal that one of
// them records until then is lost. This script delays the reset, as a busy machine
// does.
func TestAForkedProcessGetsTheSignalOnceItHasItsOwnHandlers(t *testing.T) {
	const script = `trap 'sleep 0.1; (trap : TERM; for ((i = 0; i < 100000; i++)); do :; done; exec sleep 600) & exit 0' TERM; echo up; while :; do sleep 0.05; done`
	var err error
	for range 10 { // the reaper waits only two seconds for the reset
		tree, _ := start(t, shell(script), process.Options{Grace: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err = tree.Stop(ctx)
		cancel()
		kill(t, tree)
		if err == nil {
			require.Equal(t, process.Stopped, tree.State())
			break
		}
	}
	require.NoError(t, err)
}

// The signal is sent to the group in one call, and to each of the other processes. A
// process that leaves the group at that moment is one of the others.
func TestAProcessThatLeavesTheGroupDuringTheSignalGetsIt(t *testing.T) {
	repetitions := 100
	if testing.Short() {
		repetitions = 10
	}
	more := testclock.Repetitions(t, time.Minute)
	for i := 0; i < repetitions && (i < 10 || more()); i++ {
		tree, _ := start(t, shell(`echo up; for i in 1 2 3 4 5 6; do setsid sleep 600 & done`), process.Options{Grace: soon})
		require.NoError(t, tree.Stop(soonContext(t)))
		_ = tree.Wait() // its result does not matter
	}
}

func TestTheProgramGetsTheStatusesOfItsOtherChildren(t *testing.T) {
	const others = 500
	type end struct{ code, want int }
	ends := make(chan end, others)
	slots := make(chan struct{}, 50)
	go func() {
		for i := range others {
			slots <- struct{}{}
			go func() {
				want := i % 256
				cmd := exec.Command("sh", "-c", `exit "$1"`, "sh", strconv.Itoa(want))
				_ = cmd.Run() // its exit code is checked
				<-slots
				ends <- end{cmd.ProcessState.ExitCode(), want}
			}()
		}
	}()
	trees := 0
	var ended chan end // nil before the first tree
	for got := 0; got < others; {
		select {
		case e := <-ended:
			require.Equal(t, e.want, e.code)
			got++
		default:
			ended = ends
			tree, _ := start(t, shell(`sleep 600 & setsid sleep 600 & trap '' TERM; echo up; exit 9`), process.Options{})
			require.NoError(t, tree.Stop(soonContext(t)))
			isExit(t, tree.Wait(), 9, 0)
			trees++
		}
	}
	t.Logf("%d trees were stopped meanwhile", trees)
	require.Positive(t, trees)
}

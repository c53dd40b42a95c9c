//go:build unix

package process_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/process"
)

func TestWaitReturnsTheChildsStatus(t *testing.T) {
	for _, c := range []struct {
		script string
		code   int
		signal syscall.Signal
	}{
		{"exit 0", 0, 0},
		{"exit 1", 1, 0},
		{"exit 143", 143, 0}, // not the same as SIGTERM
		{"exit 255", 255, 0},
		{"kill -TERM $$", 0, syscall.SIGTERM},
		{"kill -KILL $$", 0, syscall.SIGKILL},
		{"kill -ABRT $$", 0, syscall.SIGABRT},
		{"kill -SEGV $$", 0, syscall.SIGSEGV}, // Go has a handler of its own for it
		{"kill -QUIT $$", 0, syscall.SIGQUIT},
		{"kill -PIPE $$", 0, syscall.SIGPIPE},
		{"kill -USR1 $$", 0, syscall.SIGUSR1},
		{"kill -45 $$", 0, syscall.Signal(45)},
	} {
		t.Run(c.script, func(t *testing.T) {
			if c.signal > 31 && !hasRealTimeSignals {
				t.Skip("no real-time signals here")
			}
			cmd := exec.Command("sh", "-c", "ulimit -c 0; "+c.script) // bash ignores SIGQUIT
			tree, err := process.Start(cmd, process.Options{Logger: quiet})
			require.NoError(t, err)
			err = tree.Wait()
			require.Equal(t, process.Ended, tree.State())
			require.NotNil(t, cmd.ProcessState)
			if c.code == 0 && c.signal == 0 {
				require.NoError(t, err)
				require.True(t, cmd.ProcessState.Success())
				return
			}
			isExit(t, err, c.code, c.signal)
			require.Equal(t, err, tree.Wait(), "the second Wait")
		})
	}
}

func TestAChildThatNeedsASecondToCleanUpGetsIt(t *testing.T) {
	tree, out := start(t, shell(`trap 'sleep 1 && echo saved; exit 7' TERM; echo up; while :; do sleep 0.1; done`), process.Options{})
	began := time.Now()
	require.NoError(t, tree.Stop(soonContext(t)))
	require.GreaterOrEqual(t, time.Since(began), time.Second)
	require.Equal(t, process.Stopped, tree.State())
	require.Equal(t, "saved\n", rest(t, out))
	isExit(t, tree.Wait(), 7, 0)
}

func TestStopSendsTheSignalOfTheOptions(t *testing.T) {
	script := `trap 'echo reloaded' TERM; trap 'echo stopped; exit 0' HUP; echo up; while :; do sleep 0.1; done`
	tree, out := start(t, shell(script), process.Options{Signal: syscall.SIGHUP})
	require.NoError(t, tree.Stop(soonContext(t)))
	require.Equal(t, "stopped\n", rest(t, out))
	require.NoError(t, tree.Wait())
}

func TestStopKillsAfterTheGracePeriod(t *testing.T) {
	tree, _ := start(t, shell(`trap '' TERM; echo up; while :; do sleep 0.1; done`), process.Options{Grace: 200 * time.Millisecond})
	began := time.Now()
	err := tree.Stop(soonContext(t))
	require.ErrorIs(t, err, process.ErrKilled)
	require.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond)
	require.Equal(t, process.Killed, tree.State())
	isExit(t, tree.Wait(), 0, syscall.SIGKILL)
}

func TestKillSendsNoOtherSignalAndReturnsNil(t *testing.T) {
	tree, out := start(t, shell(`trap 'echo SIGTERM' TERM; echo up; while :; do sleep 0.1; done`), process.Options{})
	require.NoError(t, tree.Kill())
	require.Equal(t, process.Killed, tree.State())
	require.Empty(t, rest(t, out))
	isExit(t, tree.Wait(), 0, syscall.SIGKILL)
}

func TestStopKillsWhenItsContextEnds(t *testing.T) {
	tree, _ := start(t, shell(`trap '' TERM; echo up; while :; do sleep 0.1; done`), process.Options{Grace: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := tree.Stop(ctx)
	require.ErrorIs(t, err, process.ErrKilled)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, process.Killed, tree.State())
}

func TestStoppingATreeThatHasExitedReturnsNil(t *testing.T) {
	tree, err := process.Start(shell("exit 3"), process.Options{Logger: quiet})
	require.NoError(t, err)
	isExit(t, tree.Wait(), 3, 0)
	require.NoError(t, tree.Stop(t.Context()))
	require.NoError(t, tree.Kill())
	require.Equal(t, process.Ended, tree.State())
	isExit(t, tree.Wait(), 3, 0)
}

func TestStopMayBeCalledConcurrently(t *testing.T) {
	tree, _ := start(t, shell(`trap 'sleep 0.3; exit 5' TERM; echo up; while :; do sleep 0.1; done`), process.Options{})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			require.NoError(t, tree.Stop(soonContext(t)))
			isExit(t, tree.Wait(), 5, 0)
		})
	}
	all.Wait()
}

func TestTheEndOfTheCommandsContextStopsTheTree(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "bash", "-c", `sleep 600 & trap 'sleep 0.3; echo saved; exit 0' TERM; echo up; while :; do sleep 0.1; done`)
	tree, out := start(t, cmd, process.Options{})
	cancel()
	require.NoError(t, tree.Wait())
	require.Equal(t, process.Stopped, tree.State())
	_ = out // closed by Wait, as exec.Cmd's is
}

func TestWaitWaitsForTheWholeTree(t *testing.T) {
	// The descendant prints "up" when the child has been reaped.
	cmd := shell(`(trap 'exit 0' TERM; while kill -0 $$; do sleep 0.01; done 2>/dev/null; echo up; while :; do sleep 0.1; done) & exit 4`)
	tree, _ := start(t, cmd, process.Options{})
	ended := make(chan error, 1)
	go func() { ended <- tree.Wait() }()
	select {
	case <-ended:
		t.Fatal("Wait returned while a member was running")
	case <-time.After(300 * time.Millisecond):
	}
	require.Equal(t, process.Running, tree.State())
	require.NoError(t, tree.Stop(soonContext(t)))
	isExit(t, <-ended, 4, 0)
}

// The race detector checks it.
func TestCmdProcessMayBeUsedDuringWait(t *testing.T) {
	cmd := shell(`trap 'exit 0' TERM; trap : HUP; echo up; while :; do sleep 0.05; done`)
	tree, _ := start(t, cmd, process.Options{})
	ended := make(chan error, 1)
	go func() { ended <- tree.Wait() }()
	go func() { _ = tree.Stop(context.Background()) }() // Wait returns the result
	for {
		_ = cmd.Process.Signal(syscall.SIGHUP) // the child may have exited
		time.Sleep(time.Millisecond)           // a machine with one core has to run the child, too
		select {
		case err := <-ended:
			require.NoError(t, err)
			require.Equal(t, tree.Pid(), cmd.Process.Pid)
			return
		default:
		}
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	for _, c := range []struct {
		o    process.Options
		want string
	}{
		{process.Options{Signal: syscall.SIGKILL}, "Options.Signal: SIGKILL cannot be caught"},
		{process.Options{Signal: syscall.SIGSTOP}, "Options.Signal: SIGSTOP cannot be caught"},
		{process.Options{Signal: syscall.Signal(0)}, "Options.Signal: signal 0 is not a signal"},
		{process.Options{Signal: syscall.Signal(99)}, "Options.Signal: signal 99 is not a signal"},
		{process.Options{Grace: -time.Second}, "Options.Grace: -1s is negative"},
	} {
		cmd := exec.Command("true")
		_, err := process.Start(cmd, c.o)
		require.ErrorContains(t, err, c.want)
		require.Nil(t, cmd.Process)
	}
}

func TestStartReturnsTheErrorsOfExec(t *testing.T) {
	for path, want := range map[string]error{"/nonexistent": fs.ErrNotExist, "/etc/passwd": fs.ErrPermission} {
		cmd := exec.Command(path)
		cmd.Stdin, cmd.Stdout = new(mute), new(full)
		_, err := process.Start(cmd, process.Options{Logger: quiet})
		require.ErrorIs(t, err, want)
		require.Equal(t, exec.Command(path).Start().Error(), err.Error())
		require.Nil(t, cmd.Process)
	}
	_, err := process.Start(exec.Command("no-such-command"), process.Options{Logger: quiet})
	require.ErrorIs(t, err, exec.ErrNotFound)
	cmd := exec.Command("true")
	cmd.Dir = "/nonexistent"
	_, err = process.Start(cmd, process.Options{Logger: quiet})
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// mute is a Reader that fails.
type mute struct{}

func (*mute) Read([]byte) (int, error) { return 0, errors.New("nothing to read") }

func TestTheTextOfASurvivorsError(t *testing.T) {
	require.EqualError(t, &process.SurvivorsError{Root: 7, Command: "app"}, "process: tree 7 (app): processes that /proc does not show could not be ended")
	require.EqualError(t, &process.SurvivorsError{Root: 7, Command: "app", Survivors: []process.Survivor{{Pid: 9, Command: "x", Err: fs.ErrPermission}}},
		"process: tree 7 (app): 1 process could not be ended: 9 x (permission denied)")
}

func TestStatesHaveNames(t *testing.T) {
	require.Equal(t, "running stopping killing survived ended stopped killed State(9)", fmt.Sprintf("%v %v %v %v %v %v %v %v",
		process.Running, process.Stopping, process.Killing, process.Survived, process.Ended, process.Stopped, process.Killed, process.State(9)))
}

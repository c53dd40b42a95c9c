//go:build !processgroup

package process_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/testclock"
	"github.com/gracefulgo/shutdown/process"
)

func init() {
	childScenarios["program"] = func() {
		if os.Getenv("PROCESS_TEST_IGNORES_TERM") != "" {
			signal.Ignore(syscall.SIGTERM)
		}
		cmd := shell(os.Getenv("PROCESS_TEST_SCRIPT"))
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		grace, err := time.ParseDuration(os.Getenv("PROCESS_TEST_GRACE"))
		if err != nil {
			grace = 300 * time.Millisecond
		}
		tree, err := process.Start(cmd, process.Options{Logger: quiet, Grace: grace})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		line := make([]byte, 1)
		_, _ = os.Stdin.Read(line) // until the test writes a line
		fmt.Printf("stopped: %v\n", tree.Stop(context.Background()))
		_ = tree.Wait() // its result does not matter
		fmt.Println("state:", tree.State())
	}
}

// hard is a tree of which exec.CommandContext would leave most processes running.
const hard = `trap '' TERM; for i in 1 2 3; do

	setsid bash -c 'trap "" TERM HUP; sleep 600 & while :; do sleep 0.1; done' &
	(setsid sleep 600 &)
done; echo up; wait`

// program returns a command that runs this binary, which runs script in a tree.
func program(t testing.TB, script string) (*exec.Cmd, mark, *bufio.Reader) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"=program", "PROCESS_TEST_SCRIPT="+script)
	m := marked(cmd)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = time.Second
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	return cmd, m, bufio.NewReader(out)
}

// The grace period is 300 ms. On a machine that is too busy to end any tree within
// a second, the mean of the times in which this process was awake counts. Their
// minimum would be that of a round in which it was hardly awake.
func TestATreeIsStoppedWhenItsProgramIsKilled(t *testing.T) {
	const rounds = 6
	var sum time.Duration
	for round := 1; round <= rounds; round++ {
		took, awake := untilATreeEndsWithItsProgram(t)
		t.Logf("no process is left after %v; this process was awake for %v of that", took.Round(time.Millisecond), awake)
		if took < time.Second {
			return
		}
		sum += awake
	}
	require.Less(t, sum/rounds, 900*time.Millisecond, "the tree has to exit within a second of its program")
}

// untilATreeEndsWithItsProgram kills a program with SIGKILL. It returns the time
// until no process of its tree is left, and how long this process was awake in it.
func untilATreeEndsWithItsProgram(t testing.TB) (took, awake time.Duration) {
	t.Helper()
	cmd, m, out := program(t, hard)
	_, err := cmd.StdinPipe() // open as long as the test runs
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "up\n", line)
	m.becomes(t, 10)
	killed := time.Now()
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // by our signal
	var left []int
	awake = testclock.Awake(func() {
		for left = m.alive(t); len(left) > 0 && time.Since(killed) < soon; left = m.alive(t) {
			time.Sleep(10 * time.Millisecond)
		}
	})
	require.Empty(t, left, "still there")
	took = time.Since(killed)
	m.sweep(t) // the reaper is now a child of this process
	return took, awake
}

// The control: what happens without the package.
func TestWithoutAReaperATreeOutlivesItsProgram(t *testing.T) {
	cmd := shell(`bash -c 'setsid sleep 600 & sleep 600 & wait' & echo up; wait`)
	m := marked(cmd)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer m.sweep(t)
	_, err = out.Read(make([]byte, 3))
	require.NoError(t, err)
	m.becomes(t, 4)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // by our signal
	time.Sleep(time.Second)
	require.Eventually(t, func() bool { return len(m.alive(t)) == 3 }, soon, 50*time.Millisecond, "a process in the middle of exec has no mark")
}

func TestNoPrivilegeIsNeeded(t *testing.T) {
	cmd, m, out := program(t, hard)
	if os.Getuid() == 0 {
		cmd.Path, cmd.Dir = copyOfSelf(t, "program", 0o755), "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "up\n", line)
	m.becomes(t, 10)
	_, err = io.WriteString(in, "\n")
	require.NoError(t, err)
	require.Contains(t, rest(t, out), "state: killed\n")
	require.NoError(t, cmd.Wait())
	require.Empty(t, m.alive(t))
	alive, zombies := strays(t)
	require.Zero(t, alive+zombies)
}

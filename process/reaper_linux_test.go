//go:build !processgroup

package process_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

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

func TestTheCommandsContextMayEndDuringStart(t *testing.T) {
	for i := range 40 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*250*time.Microsecond)
		cmd := exec.CommandContext(ctx, "sleep", "600")
		cmd.WaitDelay = time.Nanosecond // with it exec.Cmd would kill
		tree, err := process.Start(cmd, process.Options{Logger: quiet})
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		} else {
			isExit(t, tree.Wait(), 0, syscall.SIGTERM)
			require.Equal(t, process.Stopped, tree.State())
			require.Equal(t, time.Nanosecond, cmd.WaitDelay)
		}
		cancel()
	}
}

func TestATreeMayContainTrees(t *testing.T) {
	for _, grace := range []time.Duration{100 * time.Millisecond, soon} { // the inner reaper is killed, or stops its own tree
		cmd, m, out := program(t, hard)
		if grace != soon { // else the inner tree might be stopped in time, half a second after its program has exited
			cmd.Env = append(cmd.Env, "PROCESS_TEST_IGNORES_TERM=1")
		}
		_, err := cmd.StdinPipe() // open as long as the test runs
		require.NoError(t, err)
		tree, err := process.Start(cmd, process.Options{Grace: grace, Logger: quiet})
		require.NoError(t, err)
		_, err = out.ReadString('\n')
		require.NoError(t, err)
		m.becomes(t, 11)
		err = tree.Stop(soonContext(t))
		require.Equal(t, grace != soon, err != nil, "%v", err)
		alive, zombies := strays(t)
		require.Zero(t, alive+zombies)
		require.Empty(t, m.alive(t))
		_ = tree.Wait() // its result does not matter
	}
}

func TestSignalsDoNotEndTheReaper(t *testing.T) {
	tree, _ := start(t, shell(`trap '' TERM HUP INT QUIT USR1 USR2 PIPE ALRM; echo up; while :; do sleep 0.1; done`),
		process.Options{Grace: 100 * time.Millisecond})
	reaper := reaperOf(t, tree.Pid())
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE, unix.SIGALRM, unix.SIGTSTP, 45} {
		require.NoError(t, unix.Kill(reaper, sig))
	}
	time.Sleep(200 * time.Millisecond) // for the signals to take effect, if they do
	require.Equal(t, process.Running, tree.State())
	require.Equal(t, reaper, reaperOf(t, tree.Pid()))
	require.ErrorIs(t, tree.Stop(soonContext(t)), process.ErrKilled)
	require.Equal(t, process.Killed, tree.State())
}

// A terminal's Ctrl-C goes to the program alone.
func TestTheChildAndTheReaperHaveProcessGroupsOfTheirOwn(t *testing.T) {
	tree, _ := start(t, shell(`echo up; sleep 600`), process.Options{})
	own := unix.Getpgrp()
	for _, pid := range []int{tree.Pid(), reaperOf(t, tree.Pid())} {
		group, err := unix.Getpgid(pid)
		require.NoError(t, err)
		require.NotEqual(t, own, group)
		require.Equal(t, pid, group)
	}
}

func TestAStoppedReaperIsContinued(t *testing.T) {
	tree, _ := start(t, shell(`echo up; sleep 600`), process.Options{})
	require.NoError(t, unix.Kill(reaperOf(t, tree.Pid()), unix.SIGSTOP))
	require.NoError(t, tree.Stop(soonContext(t)))
	require.Equal(t, process.Stopped, tree.State())
}

func TestTheUnexpectedEndOfTheReaperIsAnError(t *testing.T) {
	cmd := shell(`setsid sleep 600 & echo up; sleep 600`)
	m := marked(cmd)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	tree, err := process.Start(cmd, process.Options{Logger: quiet})
	require.NoError(t, err)
	defer m.sweep(t)
	_, err = out.Read(make([]byte, 3))
	require.NoError(t, err)
	require.NoError(t, unix.Kill(reaperOf(t, tree.Pid()), unix.SIGKILL))
	require.ErrorContains(t, tree.Wait(), "its reaper exited before it (signal SIGKILL)")
	require.ErrorContains(t, tree.Stop(soonContext(t)), "processes may be left running")
	require.ErrorContains(t, tree.Kill(), "processes may be left running")
	require.Equal(t, process.Survived, tree.State())
	require.Eventually(t, func() bool { // at least the child was killed
		s, ok := statOf(tree.Pid())
		return !ok || s.state == "Z"
	}, soon, 10*time.Millisecond)
}

func TestStopDoesNotTouchOtherTreesAndOtherChildren(t *testing.T) {
	daemon := exec.Command("setsid", "sleep", "600")
	require.NoError(t, daemon.Start())
	other, _ := start(t, shell(`setsid sleep 600 & echo up; wait`), process.Options{})
	tree, _ := start(t, shell(hard), process.Options{Grace: 50 * time.Millisecond})
	require.ErrorIs(t, tree.Stop(soonContext(t)), process.ErrKilled)
	require.Equal(t, process.Running, other.State())
	require.NoError(t, daemon.Process.Signal(syscall.Signal(0)))
	require.NoError(t, other.Stop(soonContext(t)))
	require.NoError(t, daemon.Process.Kill())
	_ = daemon.Wait() // by our signal
}

func TestCmdProcessIsTheChild(t *testing.T) {
	cmd := shell(`trap 'echo reloaded' HUP; echo up; while :; do sleep 0.05; done`)
	tree, out := start(t, cmd, process.Options{})
	require.Equal(t, tree.Pid(), cmd.Process.Pid)
	require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
	line, err := out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "reloaded\n", line)
	require.NoError(t, tree.Stop(soonContext(t)))
	require.ErrorIs(t, cmd.Process.Signal(syscall.SIGHUP), os.ErrProcessDone)
}

func TestAProgramThatInheritsTheReapersVariableIsNoReaper(t *testing.T) {
	for _, value := range []string{"3", "0", "nonsense", "-1"} {
		exe, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.Command(exe, "-test.run", "^TestStatesHaveNames$", "-test.v")
		cmd.Env = append(os.Environ(), "SHUTDOWN_PROCESS_REAPER="+value)
		var out bytes.Buffer
		cmd.Stdout = &out
		require.NoError(t, cmd.Run())
		require.Contains(t, out.String(), "--- PASS: TestStatesHaveNames")
	}
}

func TestSysProcAttrAppliesToTheChildOrIsRefused(t *testing.T) {
	for want, attr := range map[string]*syscall.SysProcAttr{
		"SysProcAttr.Ptrace":     {Ptrace: true},
		"SysProcAttr.Foreground": {Foreground: true},
	} {
		cmd := exec.Command("true")
		cmd.SysProcAttr = attr
		_, err := process.Start(cmd, process.Options{Logger: quiet})
		require.ErrorContains(t, err, want)
	}
	fd := 0
	cmd := exec.Command("sh", "-c", "cut -d' ' -f6 /proc/$$/stat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, PidFD: &fd}
	var out bytes.Buffer
	cmd.Stdout = &out
	tree, err := process.Start(cmd, process.Options{Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, tree.Wait())
	require.Equal(t, fmt.Sprint(tree.Pid()), strings.TrimSpace(out.String()))
	require.Positive(t, fd)
	require.NoError(t, unix.Close(fd))
}

// A program with cgo may need libraries that are found only with LD_LIBRARY_PATH.
func TestTheReaperFindsTheProgramsLibraries(t *testing.T) {
	t.Setenv("LD_LIBRARY_PATH", t.TempDir())
	cmd := shell(`echo up; sleep 600`)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	tree, _ := start(t, cmd, process.Options{})
	environ := func(pid int) string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		require.NoError(t, err)
		return string(text)
	}
	require.Contains(t, environ(reaperOf(t, tree.Pid())), "LD_LIBRARY_PATH="+os.Getenv("LD_LIBRARY_PATH")+"\x00")
	require.NotContains(t, environ(tree.Pid()), "LD_LIBRARY_PATH")
}

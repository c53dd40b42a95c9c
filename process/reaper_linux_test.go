//go:build !processgroup

package process_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gracefulgo/shutdown/process"
)

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

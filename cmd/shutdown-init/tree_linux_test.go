package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// In these tests shutdown-init is not PID 1, but a subreaper.

func TestItWaitsForTheWholeTree(t *testing.T) {
	for _, to := range []string{"tree", "child"} {
		// If it is not scheduled for the second that the app needs, no process is left
		// when it sees that the child has exited.
		for try := 1; ; try++ {
			r := command(t, self(t, "--grace", "25s", "--to", to, "--", "sh", "-c", noExec)...).start().says("up", 1)
			code, took := r.signal(syscall.SIGTERM).ends()
			require.Equal(t, "up\nTERM\nsaved\n", r.text())
			require.Equal(t, 143, code, "the shell has no handler")
			require.GreaterOrEqual(t, took, time.Second)
			_, said, _ := strings.Cut(r.stderr.String(), "all processes exited after ")
			said, _, _ = strings.Cut(said, ",")
			after, err := time.ParseDuration(said)
			require.NoError(t, err, r.stderr.String())
			require.GreaterOrEqual(t, after, time.Second)
			require.LessOrEqual(t, after, took+time.Millisecond, "it is rounded")
			if strings.Contains(r.stderr.String(), "signal SIGTERM; waiting for") {
				break
			}
			require.Less(t, try, 20, r.stderr.String())
		}
	}
}

func TestSIGTERMIsForwardedOnceAndOtherSignalsEachTime(t *testing.T) {
	script := `bash -c 'trap "echo TERM >>$LOG" TERM; trap "echo INT >>$LOG" INT; trap "exit 0" HUP; echo up >>$LOG; while :; do sleep 0.05; done'; exit $?`
	r := command(t, self(t, "--grace", "25s", "--", "bash", "-c", "trap : TERM INT HUP; "+script)...).start().says("up", 1)
	r.signal(syscall.SIGTERM).says("TERM", 1)
	r.signal(syscall.SIGTERM).signal(syscall.SIGINT).says("INT", 1)
	r.signal(syscall.SIGINT).says("INT", 2)
	code, _ := r.signal(syscall.SIGHUP).ends()
	require.Equal(t, 0, code, r.stderr.String())
	require.Equal(t, "up\nTERM\nINT\nINT\n", r.text())
}

func TestTheFirstSIGTERMAfterCtrlCIsForwarded(t *testing.T) {
	script := `trap "echo INT >>$LOG" INT; trap "echo TERM >>$LOG" TERM; trap "exit 0" HUP; echo up >>$LOG; while :; do sleep 0.05; done`
	r := command(t, self(t, "--grace", "25s", "--", "bash", "-c", script)...).start().says("up", 1)
	r.signal(syscall.SIGINT).says("INT", 1)
	r.signal(syscall.SIGTERM).says("TERM", 1)
	r.signal(syscall.SIGTERM).signal(syscall.SIGINT).says("INT", 2)
	code, _ := r.signal(syscall.SIGHUP).ends()
	require.Equal(t, 0, code, r.stderr.String())
	require.Equal(t, 1, strings.Count(r.text(), "TERM\n"))
}

func TestOtherSignalsAreForwardedAndStopNothing(t *testing.T) {
	script := `trap "echo reloaded >>$LOG" HUP; trap "exit 0" USR1; echo up >>$LOG; while :; do sleep 0.05; done`
	r := command(t, self(t, "--grace", "100ms", "--to", "child", "--", "bash", "-c", script)...).start().says("up", 1)
	r.signal(syscall.SIGHUP).says("reloaded", 1)
	time.Sleep(300 * time.Millisecond) // longer than the grace period, which has not started
	r.signal(syscall.SIGHUP).says("reloaded", 2)
	code, _ := r.signal(syscall.SIGUSR1).ends() // SIGTERM would start the 100 ms
	require.Equal(t, 0, code)
}

func TestProcessesLeftByAChildThatFailsAreStopped(t *testing.T) {
	script := `bash -c 'trap "echo TERM >>$LOG; exit 0" TERM; echo up >>$LOG; while :; do sleep 0.05; done' &
	while ! grep -q up $LOG; do sleep 0.05; done; exit 3`
	r := command(t, self(t, "--", "sh", "-c", script)...).start()
	code, _ := r.ends()
	require.Equal(t, 3, code)
	require.Equal(t, "up\nTERM\n", r.text())
	require.Contains(t, r.stderr.String(), "exit status 3; sending SIGTERM, and SIGKILL after 9.5s, to ")
}

func TestProcessesLeftByAChildThatSucceedsAreWaitedFor(t *testing.T) {
	// The daemon writes "up" when its parent, the child, has been reaped.
	script := `export PARENT=$$; setsid bash -c 'trap "echo TERM >>$LOG; exit 7" TERM
		while kill -0 $PARENT; do sleep 0.01; done 2>/dev/null
		echo up >>$LOG; while :; do sleep 0.05; done' & exit 0`
	r := command(t, self(t, "--", "sh", "-c", script)...).start().says("up", 1)
	code, _ := r.signal(syscall.SIGTERM).ends()
	require.Equal(t, 7, code)
	require.Equal(t, "up\nTERM\n", r.text())
}

func TestItLogsWhatItWaitsFor(t *testing.T) {
	// If it is not scheduled between the first second and the end of the grace period,
	// it does not log that it waits.
	for try := 1; ; try++ {
		r := command(t, self(t, "--grace", "1500ms", "--", "bash", "-c", `trap "" TERM; echo up >>$LOG; while :; do sleep 0.05; done`)...).start().says("up", 1)
		code, took := r.signal(syscall.SIGTERM).ends()
		require.Equal(t, 137, code)
		require.GreaterOrEqual(t, took, 1500*time.Millisecond)
		for _, want := range []string{
			"received SIGTERM: sending SIGTERM to all processes, and SIGKILL after 1.5s",
			"the grace period of 1.5s is over: killing", "of them killed, exit code 137",
		} {
			require.Contains(t, r.stderr.String(), want)
		}
		if strings.Contains(r.stderr.String(), "waiting for ") {
			return
		}
		require.Less(t, try, 20, r.stderr.String())
	}
}

// Without the foreground, a child in a process group of its own could not read from
// the terminal, and would not get Ctrl-C.
func TestInATerminalTheChildHasTheForeground(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	defer master.Close()
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	defer terminal.Close()

	r := command(t, self(t, "--", "sh", "-c", `read -r word; echo "$word" >>$LOG; trap "echo INT >>$LOG; exit 4" INT; echo up >>$LOG; while :; do sleep 0.05; done`)...)
	r.cmd.Stdin, r.cmd.Stdout = terminal, terminal
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	r.start()
	_, err = master.WriteString("hello\n")
	require.NoError(t, err)
	r.says("hello", 1).says("up", 1)
	_, err = master.WriteString("\x03")
	require.NoError(t, err)
	code, _ := r.ends()
	require.Equal(t, 4, code, r.stderr.String())
	require.Equal(t, 1, strings.Count(r.text(), "INT\n"))
}

func TestAStderrThatIsNotReadDelaysNothing(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	fd := int(w.Fd()) // Fd makes it blocking
	require.NoError(t, unix.SetNonblock(fd, true))
	for _, chunk := range []int{4096, 1} {
		for err = nil; err == nil; {
			_, err = unix.Write(fd, make([]byte, chunk))
		}
		require.ErrorIs(t, err, unix.EAGAIN)
	}
	require.NoError(t, unix.SetNonblock(fd, false))

	for _, c := range []struct {
		grace, script string
		want          int
	}{
		{"25s", `trap "echo TERM >>$LOG; exit 3" TERM; echo up >>$LOG; while :; do sleep 0.05; done`, 3},
		{"300ms", `trap "" TERM; echo up >>$LOG; while :; do sleep 0.05; done`, 137},
	} {
		init := command(t, self(t, "--grace", c.grace, "--", "bash", "-c", "exec 2>/dev/null; "+c.script)...)
		init.cmd.Stderr = w
		code, took := init.start().says("up", 1).signal(syscall.SIGTERM).ends()
		require.Equal(t, c.want, code, init.text())
		require.Less(t, took, soon)
	}
}

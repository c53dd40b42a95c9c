package shutdown_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// openTerminal returns a pseudoterminal and its controlling end, which stands for a person.
func openTerminal(t *testing.T) (terminal, person *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd()) //nolint:gosec // small
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { terminal.Close() })
	return terminal, person
}

func TestAtARealTerminalTheLogSaysWhatCtrlCDoes(t *testing.T) {
	t.Parallel()
	terminal, person := openTerminal(t)
	p := start(t, "default signals", func(cmd *exec.Cmd) { cmd.Stderr = terminal })
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(person); s.Scan(); {
			lines <- s.Text()
		}
	}()
	await := func(text string) {
		timeout := time.After(patience)
		for {
			select {
			case line, ok := <-lines:
				require.True(t, ok, "waiting for %q", text)
				if strings.Contains(line, text) {
					return
				}
			case <-timeout:
				require.FailNow(t, "the terminal does not show it", "waiting for %q", text)
			}
		}
	}
	p.signal(syscall.SIGINT)
	await("Ctrl-C again forces the end")
	p.finishTask()
	p.requireExit(0)
}

// The control: a pipe is no terminal, nor is /dev/null, although it is a character device.
func TestWithoutATerminalTheLogSaysNothingOfCtrlC(t *testing.T) {
	t.Parallel()
	p := start(t, "default signals")
	p.signal(syscall.SIGINT)
	p.log.await("shutdown: started")
	p.finishTask()
	p.requireExit(0)
	require.NotContains(t, p.log.String(), "Ctrl-C")
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	require.NoError(t, err)
	defer null.Close()
	_, err = unix.IoctlGetWinsize(int(null.Fd()), unix.TIOCGWINSZ) //nolint:gosec // small
	require.Error(t, err)
}

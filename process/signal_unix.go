//go:build unix

package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/gracefulgo/shutdown/internal/signame"
)

const defaultSignal = syscall.SIGTERM

func checkSignal(sig os.Signal) error {
	number, ok := sig.(syscall.Signal)
	switch {
	case !ok || number <= 0 || number > 64:
		return fmt.Errorf("process: Options.Signal: %v is not a signal of this system", sig)
	case number == syscall.SIGKILL || number == syscall.SIGSTOP:
		return fmt.Errorf("process: Options.Signal: %s cannot be caught by any program; use Tree.Kill", signame.Name(sig))
	}
	return nil
}

// statusText returns "exit status 1" or "signal SIGTERM".
func statusText(status *os.ProcessState) string {
	return waitStatusText(status.Sys().(syscall.WaitStatus))
}

func waitStatusText(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal " + signame.Name(status.Signal())
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

// isPipeGone reports whether err is that of writing to a pipe that no process
// reads any more.
func isPipeGone(err error) bool { return errors.Is(err, syscall.EPIPE) }

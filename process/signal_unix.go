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
		return fmt.Errorf("process: Options.Signal: %v is no signal", sig)
	case number == syscall.SIGKILL || number == syscall.SIGSTOP:
		return fmt.Errorf("process: Options.Signal: %s cannot be caught by any program; Tree.Kill kills", signame.Name(sig))
	}
	return nil
}

// statusText is how a process has ended: "exit status 1", "signal SIGTERM".
func statusText(status *os.ProcessState) string {
	if s, ok := status.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return "signal " + signame.Name(s.Signal())
	}
	return status.String()
}

// isPipeGone is what writing to a child that does not read ends with.
func isPipeGone(err error) bool { return errors.Is(err, syscall.EPIPE) }

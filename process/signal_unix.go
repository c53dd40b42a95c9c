//go:build unix

package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const defaultSignal = syscall.SIGTERM

func checkSignal(sig os.Signal) error {
	number, ok := sig.(syscall.Signal)
	switch {
	case !ok || number <= 0 || number > 64:
		return fmt.Errorf("process: Options.Signal: %v is no signal", sig)
	case number == syscall.SIGKILL || number == syscall.SIGSTOP:
		return fmt.Errorf("process: Options.Signal: %s cannot be caught by any program; Tree.Kill kills", signalName(sig))
	}
	return nil
}

// isPipeGone is what writing to a child that does not read ends with.
func isPipeGone(err error) bool { return errors.Is(err, syscall.EPIPE) }

func signalName(sig os.Signal) string {
	if number, ok := sig.(syscall.Signal); ok {
		if name := unix.SignalName(number); name != "" {
			return name
		}
	}
	return sig.String()
}

//go:build unix

package process

import (
	"fmt"
	"os"
	"syscall"
)

const defaultSignal = syscall.SIGTERM

func checkSignal(sig os.Signal) error {
	number, ok := sig.(syscall.Signal)
	switch {
	case !ok || number <= 0 || number > 64:
		return fmt.Errorf("process: Options.Signal: %v is no signal", sig)
	case number == syscall.SIGKILL || number == syscall.SIGSTOP:
		return fmt.Errorf("process: Options.Signal: %v cannot be caught by any program; Tree.Kill kills", sig)
	}
	return nil
}

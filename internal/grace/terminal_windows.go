package grace

import (
	"syscall"

	"golang.org/x/sys/windows"
)

func stderrIsTerminal() bool {
	var mode uint32
	return windows.GetConsoleMode(windows.Handle(syscall.Stderr), &mode) == nil
}

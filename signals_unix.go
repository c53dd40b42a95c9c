//go:build unix

package shutdown

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func uncatchable(sig os.Signal) bool { return sig == os.Kill || sig == syscall.SIGSTOP }

func signalName(sig os.Signal) string {
	if n, ok := sig.(syscall.Signal); ok {
		if name := unix.SignalName(n); name != "" {
			return name
		}
	}
	return sig.String()
}

func raise(sig os.Signal) {
	if n, ok := sig.(syscall.Signal); ok {
		_ = syscall.Kill(os.Getpid(), n) // our own pid: there is nothing to fail
	}
}

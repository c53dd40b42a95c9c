//go:build unix

package shutdown

import (
	"os"
	"syscall"
)

func uncatchable(sig os.Signal) bool { return sig == os.Kill || sig == syscall.SIGSTOP }

func raise(sig os.Signal) {
	if n, ok := sig.(syscall.Signal); ok {
		_ = syscall.Kill(os.Getpid(), n) // our own pid: there is nothing to fail
	}
}

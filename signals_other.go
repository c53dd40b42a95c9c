//go:build !unix

package shutdown

import (
	"os"
	"syscall"
)

func uncatchable(sig os.Signal) bool { return sig == os.Kill }

// raise ends the process, as the signal would: Windows has no signal that a
// process could send to itself.
func raise(sig os.Signal) {
	code := 1
	if n, ok := sig.(syscall.Signal); ok {
		code = 128 + int(n)
	}
	os.Exit(code)
}

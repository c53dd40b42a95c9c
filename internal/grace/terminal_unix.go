//go:build unix

package grace

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// stderrIsTerminal asks for the size of the window, because that has the same
// name on all of Unix. /dev/null, which is a character device too, has none.
func stderrIsTerminal() bool {
	_, err := unix.IoctlGetWinsize(syscall.Stderr, unix.TIOCGWINSZ)
	return err == nil
}
